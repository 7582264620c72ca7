//! die-service
