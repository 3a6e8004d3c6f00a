//! `Packages.bom.cdx.json`: a folder's contents as a CycloneDX bill of materials, named as in OpenWrt's own feeds.

use model::Digest;
use serde_json::{Value, json};
use uuid::Uuid;

use super::records::Build;
use crate::entry::About;

/// Name of the file in a kernel's folder.
pub(crate) const NAME: &str = "Packages.bom.cdx.json";

/// The bill of materials. Its serial number is derived from `index`, the digest of the folder's index; `epoch` is its
/// timestamp.
pub(crate) fn text(build: &Build, packages: &[(About, Digest)], index: Digest, epoch: u64) -> String {
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!("urn:uuid:{}", uuid(index)),
        "version": 1,
        "metadata": {
            "timestamp": timestamp(epoch),
            "tools": { "components": [
                { "type": "application", "name": "openwrt-offload", "version": build.tool },
            ] },
            "component": {
                "type": "firmware",
                "bom-ref": "feed",
                "name": format!("{} {} {}", build.row.line, build.row.target, build.kernel),
                "version": build.row.release,
            },
        },
        "components": packages
            .iter()
            .map(|(about, digest)| package(build, about, *digest))
            .chain(std::iter::once(kernel(build)))
            .chain(build.crates.iter().map(crate_component))
            .collect::<Vec<Value>>(),
    });
    format!("{bom:#}\n")
}

fn package(build: &Build, about: &About, digest: Digest) -> Value {
    let purl = format!("pkg:generic/{}@{}?arch={}", about.name, escaped(&about.version), build.architecture);
    let mut component = json!({
        "type": if about.name.starts_with("kmod-") { "library" } else { "application" },
        "bom-ref": about.file,
        "name": about.name,
        "version": about.version,
        "hashes": [{ "alg": "SHA-256", "content": digest.to_string() }],
        "purl": purl,
    });
    if let (false, Some(component)) = (about.license.is_empty(), component.as_object_mut()) {
        component.insert("licenses".into(), json!([{ "expression": about.license }]));
    }
    component
}

fn kernel(build: &Build) -> Value {
    let (version, hash) = build.kernel.as_str().split_once('-').unwrap_or((build.kernel.as_str(), ""));
    json!({
        "type": "operating-system",
        "bom-ref": "kernel",
        "name": "linux",
        "version": version,
        "licenses": [{ "expression": "GPL-2.0-only" }],
        "purl": format!("pkg:generic/linux@{version}"),
        "properties": [
            { "name": "openwrt:kernel", "value": build.kernel_version },
            { "name": "openwrt:vermagic", "value": hash.split_once('-').map_or(hash, |(_, hash)| hash) },
        ],
    })
}

fn crate_component(part: &super::Crate) -> Value {
    let purl = format!("pkg:cargo/{}@{}", part.name, escaped(&part.version));
    let mut component = json!({
        "type": "library",
        "bom-ref": purl.clone(),
        "name": part.name,
        "version": part.version,
        "purl": purl,
    });
    if let (Some(digest), Some(component)) = (&part.sha256, component.as_object_mut()) {
        component.insert("hashes".into(), json!([{ "alg": "SHA-256", "content": digest }]));
    }
    component
}

/// `+` and `~` must be escaped in a package URL.
fn escaped(version: &str) -> String {
    version.replace('+', "%2B").replace('~', "%7E")
}

/// Returns a UUID of version 5 (RFC 9562) made from a digest, so that the same index always has the same number.
fn uuid(digest: Digest) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("urn:sha256:{digest}").as_bytes())
}

/// Formats seconds since 1970 as `2025-01-31T12:00:00Z`.
fn timestamp(epoch: u64) -> String {
    let (days, rest) = (epoch / 86_400, epoch % 86_400);
    // Counts days from 1 March of year 0, so that leap days come last in a year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year + 400 * era, month + 3) } else { (year + 400 * era + 1, month - 9) };
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_have_their_shape() {
        // As `uuid.uuid5(uuid.NAMESPACE_URL, …)` of Python has it.
        assert_eq!(uuid(Digest::of("index")).to_string(), "99cb8d3b-6727-5b00-90e6-e3b60d75cf4e");
        for (epoch, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(epoch), text);
        }
    }
}
