//! The resource: what every span and log record of a process carries about the process.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_semantic_conventions::resource::{SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION};
use uuid::Uuid;

use crate::settings::Otel;

/// The resource of the service `name`.
///
/// The order of precedence is the specification's: `OTEL_SERVICE_NAME`, then `service.name` in
/// `OTEL_RESOURCE_ATTRIBUTES`, then the program's own name. (The SDK's detectors have the first two the other way
/// round and leave values percent-encoded, hence this file.)
pub(crate) fn resource(name: &'static str, version: &'static str, otel: &Otel) -> Resource {
    let given = otel.otel_resource_attributes.0.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let own_name = otel.otel_service_name.clone().map(|name| KeyValue::new(SERVICE_NAME, name));
    Resource::builder_empty()
        .with_detector(Box::new(opentelemetry_sdk::resource::TelemetryResourceDetector))
        .with_attributes([
            KeyValue::new(SERVICE_NAME, name),
            KeyValue::new(SERVICE_VERSION, version),
            KeyValue::new(SERVICE_INSTANCE_ID, Uuid::new_v4().to_string()),
        ])
        .with_attributes(given)
        .with_attributes(own_name)
        .build()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use opentelemetry::Key;

    use super::*;
    use crate::settings::Settings;

    #[derive(clap::Parser)]
    struct Example {
        #[command(flatten)]
        telemetry: Settings,
    }

    fn service_name(args: &[&str]) -> String {
        let config = Example::parse_from(std::iter::once(&"example").chain(args));
        let resource = resource("own", "1.0", &config.telemetry.otel);
        resource.get(&Key::from_static_str(SERVICE_NAME)).map(|name| name.to_string()).unwrap_or_default()
    }

    #[test]
    fn service_name_comes_from_the_most_specific_setting() {
        let attributes = "--otel-resource-attributes=service.name=from%20attributes,container.name=x";
        assert_eq!(service_name(&[]), "own");
        assert_eq!(service_name(&[attributes]), "from attributes");
        assert_eq!(service_name(&[attributes, "--otel-service-name=from-name"]), "from-name");
    }
}
