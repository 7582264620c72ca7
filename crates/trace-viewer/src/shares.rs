//! Counts the memory of what traces share: resources and scopes. Each is counted once, and until the last trace with it is
//! dropped.

use std::sync::Arc;

use ahash::AHashMap;

use crate::span::Origin;

/// How many traces have each origin and each resource, by its address. It is theirs as long as one of them has it.
#[derive(Default)]
pub(crate) struct Shares(AHashMap<usize, usize>);

/// An entry of the table.
const ENTRY: usize = 2 * 2 * size_of::<usize>();

impl Shares {
    /// Counts `origin` for one more trace. Returns the bytes that this adds.
    pub(crate) fn add(&mut self, origin: &Arc<Origin>) -> usize {
        let mut added = 0;
        for (address, bytes) in parts(origin) {
            let traces = self.0.entry(address).or_insert(0);
            *traces += 1;
            if *traces > 1 {
                break;
            }
            added += bytes;
        }
        added
    }

    /// Counts `origin` for one trace less. Returns the bytes that this frees.
    pub(crate) fn remove(&mut self, origin: &Arc<Origin>) -> usize {
        let mut freed = 0;
        for (address, bytes) in parts(origin) {
            let Some(traces) = self.0.get_mut(&address) else { break };
            *traces -= 1;
            if *traces > 0 {
                break;
            }
            self.0.remove(&address);
            freed += bytes;
        }
        freed
    }
}

/// The scope and then its resource, which is counted by its scopes. Address and bytes of each.
fn parts(origin: &Arc<Origin>) -> [(usize, usize); 2] {
    let scope = (Arc::as_ptr(origin).addr(), origin.weight + ENTRY);
    let resource = (Arc::as_ptr(&origin.resource).addr(), origin.resource.weight + ENTRY);
    [scope, resource]
}

/// What an origin takes in the list of a trace.
pub(crate) const LISTED: usize = 2 * size_of::<Arc<Origin>>();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Resource;

    #[test]
    fn resource_is_counted_once_until_its_last_trace_is_gone() {
        let resource = Arc::new(Resource { weight: 1000, ..Resource::default() });
        let origin = |weight| Arc::new(Origin { resource: resource.clone(), weight, ..Origin::default() });
        let (first, second) = (origin(10), origin(20));
        let mut shares = Shares::default();
        assert_eq!(shares.add(&first), 1010 + 2 * ENTRY);
        assert_eq!((shares.add(&first), shares.add(&second)), (0, 20 + ENTRY));
        assert_eq!((shares.remove(&first), shares.remove(&first)), (0, 10 + ENTRY));
        assert_eq!(shares.remove(&second), 1020 + 2 * ENTRY);
        assert!(shares.0.is_empty());
    }
}
