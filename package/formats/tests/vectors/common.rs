//! Golden files, and the plans of the packages that the real programs made them from.

use std::path::PathBuf;

use formats::{Content, Entry, Kind, Owner, Package, Scripts, depend};
use serde_json::Value;

/// A golden file's path.
pub(crate) fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A golden file's bytes.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A golden JSON file.
pub(crate) fn json(name: &str) -> Value {
    serde_json::from_slice(&bytes(name)).unwrap()
}

/// The payload of an input package: every file of its tree.
pub(crate) fn files(package: &str) -> Vec<Entry> {
    let inputs = json("inputs/packages.json");
    let user = |name: &Value| {
        let name = name.as_str().unwrap_or("root");
        let id = inputs["users"].as_array().unwrap().iter().find(|user| user["name"] == name).unwrap();
        Owner { id: u32::try_from(id["id"].as_u64().unwrap()).unwrap(), name: name.to_owned() }
    };
    let Some(found) = inputs["packages"].as_array().unwrap().iter().find(|found| found["name"] == package) else {
        return Vec::new();
    };
    let files = found["files"].as_array().unwrap().iter();
    files
        .map(|file| {
            let target = || file["target"].as_str().unwrap().to_owned();
            let kind = match file["type"].as_str().unwrap() {
                "dir" => Kind::Dir,
                "file" => Kind::File(Content::from(content(file))),
                "symlink" => Kind::Symlink(target()),
                "hardlink" => Kind::HardLink(target().trim_start_matches('/').to_owned()),
                other => panic!("{other}"),
            };
            let mode = file["mode"].as_str().map_or(0o777, |mode| u32::from_str_radix(mode, 8).unwrap());
            Entry {
                path: file["path"].as_str().unwrap().trim_start_matches('/').to_owned(),
                // A hard link shows the mode of what it links to.
                mode: if matches!(kind, Kind::HardLink(_)) { 0o644 } else { mode },
                owner: user(&file["user"]),
                group: user(&file["group"]),
                kind,
            }
        })
        .collect()
}

fn content(file: &Value) -> Vec<u8> {
    if let Some(hex) = file["hex"].as_str() {
        return hex
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
    }
    if let Some(repeat) = file["repeat"].as_array() {
        return repeat[0].as_str().unwrap().repeat(usize::try_from(repeat[1].as_u64().unwrap()).unwrap()).into_bytes();
    }
    file["text"].as_str().unwrap().as_bytes().to_vec()
}

/// The plan of one of the golden ipk packages.
pub(crate) fn ipk_plan(name: &str) -> Package {
    let inputs = json("inputs/ipk-control.json");
    let input = inputs.as_array().unwrap().iter().find(|input| input["name"] == name).unwrap();
    let field = |wanted: &str| {
        let fields = input["fields"].as_array().unwrap();
        fields.iter().find(|pair| pair[0] == wanted).map_or(String::new(), |pair| pair[1].as_str().unwrap().to_owned())
    };
    let extra = |name: &str| input["extra"][name].as_str().map(str::to_owned);
    let abi_version = field("ABIVersion");
    Package {
        name: field("Package").strip_suffix(&abi_version).unwrap().to_owned(),
        version: field("Version"),
        architecture: field("Architecture"),
        depends: depend::list(&field("Depends")).unwrap(),
        conflicts: depend::list(&field("Conflicts")).unwrap(),
        // The writer adds the bare name of a library by itself.
        provides: if abi_version.is_empty() { depend::list(&field("Provides")).unwrap() } else { Vec::new() },
        abi_version,
        description: input["desc"].as_str().unwrap().to_owned(),
        license: field("License"),
        license_files: field("LicenseFiles"),
        section: field("Section"),
        url: field("URL"),
        maintainer: field("Maintainer"),
        source: field("Source"),
        source_name: field("SourceName"),
        source_date_epoch: 1_700_000_000,
        cpe_id: field("CPE-ID"),
        require_user: field("Require-User"),
        essential: field("Essential") == "yes",
        hold: !field("Status").is_empty(),
        alternatives: field("Alternatives").split(", ").filter(|item| !item.is_empty()).map(str::to_owned).collect(),
        conffiles: if input["conffiles"].is_null() { Vec::new() } else { vec!["/etc/config/hello".to_owned()] },
        scripts: Scripts {
            preinst: extra("preinst"),
            postinst: extra("postinst-pkg"),
            prerm: extra("prerm-pkg"),
            postrm: extra("postrm"),
        },
        files: files(name).into_iter().filter(|entry| !entry.path.starts_with("lib/apk/")).collect(),
    }
}
