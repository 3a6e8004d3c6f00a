//! `provenance.intoto.json`: from which inputs, and by which builder, the packages of a folder were built. It is not
//! signed itself: on GitHub `actions/attest` signs it, elsewhere its digest is in the signed list of the tree.

use model::Digest;
use serde_json::{Value, json};

use super::records::Build;

/// Name of the file in a kernel's folder.
pub(crate) const NAME: &str = "provenance.intoto.json";

/// The in-toto statement about `subjects`: file names with digests.
pub(crate) fn text(build: &Build, subjects: &[(String, Digest)]) -> String {
    let mut dependencies: Vec<Value> = build
        .materials
        .iter()
        .map(|material| json!({ "uri": material.uri, "digest": { "sha256": material.sha256 } }))
        .collect();
    if let Some(commit) = &build.commit {
        dependencies.push(json!({ "uri": "git+openwrt-offload", "digest": { "gitCommit": commit } }));
    }
    let subject =
        |(name, digest): &(String, Digest)| json!({ "name": name, "digest": { "sha256": digest.to_string() } });
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.iter().map(subject).collect::<Vec<Value>>(),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:openwrt-offload:dist:1",
                "externalParameters": {
                    "line": build.row.line,
                    "release": build.row.release,
                    "target": build.row.target,
                    "kernel": build.kernel.as_str(),
                },
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": { "id": "urn:openwrt-offload:dist", "version": { "openwrt-offload": build.tool } },
            },
        },
    });
    format!("{statement:#}\n")
}
