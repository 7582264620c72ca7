//! The objects of one overlay.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use test_support::skip;

pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn text(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Overlay {
    Local,
    Production,
    External,
    PrometheusOperator,
}

impl fmt::Display for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Overlay::Local => "local",
            Overlay::Production => "production",
            Overlay::External => "external",
            Overlay::PrometheusOperator => "prometheus-operator",
        })
    }
}

/// What `kubectl kustomize` makes of an overlay.
pub(crate) struct Cluster {
    pub(crate) overlay: Overlay,
    pub(crate) objects: Vec<Object>,
}

pub(crate) struct Object(pub(crate) Value);

impl Deref for Object {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl Cluster {
    /// None after `SKIPPED`, where there is no kubectl.
    pub(crate) fn build(overlay: Overlay) -> Option<Self> {
        #[allow(clippy::disallowed_methods)] // a setting of the tests, not of a service
        let kubectl = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
        let found = skip::runs(Command::new(&kubectl).args(["version", "--client"]), "set KUBECTL to its path");
        skip::unless(found, "REQUIRE_KUBECTL")?;
        let directory = repository().join(format!("deploy/kubernetes/overlays/{overlay}"));
        let built = Command::new(&kubectl).arg("kustomize").arg(directory).output().unwrap();
        assert!(built.status.success(), "{overlay}: {}", String::from_utf8_lossy(&built.stderr));
        let built = String::from_utf8(built.stdout).unwrap();
        let objects = built.split("\n---\n").map(|object| Object(serde_saphyr::from_str(object).unwrap())).collect();
        Some(Self { overlay, objects })
    }

    pub(crate) fn all() -> Vec<Self> {
        [Overlay::Local, Overlay::Production, Overlay::External, Overlay::PrometheusOperator]
            .into_iter()
            .map_while(Self::build)
            .collect()
    }

    pub(crate) fn workloads(&self) -> impl Iterator<Item = Workload<'_>> {
        let of_pods = |object: &&Object| !object["spec"]["template"].is_null();
        self.objects.iter().filter(of_pods).map(Workload)
    }

    pub(crate) fn workload(&self, name: &str) -> Workload<'_> {
        self.workloads()
            .find(|workload| workload.name() == name)
            .unwrap_or_else(|| panic!("{}: no {name}", self.overlay))
    }

    /// The variables of a workload's container and their values; those from a Secret, which is not here, and from the
    /// pod's own fields have an empty one.
    pub(crate) fn variables(&self, workload: &str) -> BTreeMap<String, String> {
        let workload = self.workload(workload);
        let container = workload.containers().next().unwrap();
        let mut variables = BTreeMap::new();
        for source in container["envFrom"].as_array().into_iter().flatten() {
            if let Some(name) = source["configMapRef"]["name"].as_str() {
                let map =
                    self.objects.iter().find(|object| object.kind() == "ConfigMap" && object.name() == name).unwrap();
                for (name, value) in map["data"].as_object().unwrap() {
                    variables.insert(name.clone(), value.as_str().unwrap().to_owned());
                }
            }
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let value = variable["value"].as_str().unwrap_or_default();
            variables.insert(variable["name"].as_str().unwrap().to_owned(), value.to_owned());
        }
        variables
    }
}

impl Object {
    pub(crate) fn kind(&self) -> &str {
        self["kind"].as_str().unwrap()
    }

    pub(crate) fn name(&self) -> &str {
        self["metadata"]["name"].as_str().unwrap()
    }
}

/// A Deployment or StatefulSet.
pub(crate) struct Workload<'a>(pub(crate) &'a Object);

impl<'a> Workload<'a> {
    pub(crate) fn name(&self) -> &'a str {
        self.0.name()
    }

    pub(crate) fn pod(&self) -> &'a Value {
        &self.0["spec"]["template"]["spec"]
    }

    pub(crate) fn labels(&self) -> &'a Value {
        &self.0["spec"]["template"]["metadata"]["labels"]
    }

    /// The containers, those that run before the others too.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let pod = self.pod();
        ["containers", "initContainers"].into_iter().flat_map(|list| pod[list].as_array().into_iter().flatten())
    }

    /// Name and number.
    pub(crate) fn ports(&self) -> impl Iterator<Item = (&'a str, u64)> + use<'a> {
        let ports = self.containers().flat_map(|container| container["ports"].as_array().into_iter().flatten());
        ports.map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_u64().unwrap()))
    }
}

/// Whether `labels` have all of `selector`; an empty selector selects all.
pub(crate) fn matches(selector: &Value, labels: &Value) -> bool {
    selector.as_object().into_iter().flatten().all(|(name, value)| labels[name] == *value)
}
