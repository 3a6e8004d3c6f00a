//! Golden files, and the plans of the packages that the real programs made them from.

use std::path::PathBuf;

use formats::{Content, Device, Entry, Kind, Owner, Package, Scripts, apk, depend};
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
            let number = |key: &str| u32::try_from(file[key].as_u64().unwrap()).unwrap();
            let target = || file["target"].as_str().unwrap().to_owned();
            let kind = match file["type"].as_str().unwrap() {
                "dir" => Kind::Dir,
                "file" => Kind::File(Content::from(content(file))),
                "symlink" => Kind::Symlink(target()),
                "char" => Kind::Device(Device::Character { major: number("major"), minor: number("minor") }),
                "hardlink" => Kind::HardLink(target().trim_start_matches('/').to_owned()),
                other => panic!("{other}"),
            };
            let mode = file["mode"].as_str().map_or(0o777, |mode| u32::from_str_radix(mode, 8).unwrap());
            Entry {
                path: file["path"].as_str().unwrap().trim_start_matches('/').to_owned(),
                // A hard link has the mode of the file that it links to.
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
        return unhex(hex);
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
        // The writer adds the bare name of a library itself.
        provides: if abi_version.is_empty() { depend::list(&field("Provides")).unwrap() } else { Vec::new() },
        abi_version,
        install_if: Vec::new(),
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

/// The plan of one of the golden apk packages.
pub(crate) fn apk_plan(name: &str) -> apk::Plan {
    let inputs = json("inputs/packages.json");
    let input = inputs["packages"].as_array().unwrap().iter().find(|input| input["name"] == name).unwrap();
    let text = |key: &str| {
        let pair = input["info"].as_array().unwrap().iter().find(|pair| pair[0] == key);
        pair.map_or("", |pair| pair[1].as_str().unwrap())
    };
    let number = |key| Some(text(key)).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
    let list = |key| text(key).split_whitespace().map(|item| item.parse().unwrap()).collect();
    let owned = |key| text(key).to_owned();
    let commit = text("repo-commit");
    let script = |pair: &Value| {
        let script = *apk::Script::ALL.iter().find(|script| pair[0] == script.name()).unwrap();
        let body = match &pair[1] {
            Value::String(text) => text.clone().into_bytes(),
            parts => [parts["head"].as_str().unwrap().as_bytes(), &content(parts)].concat(),
        };
        (script, body)
    };
    let xattrs = |file: &Value| {
        // Reversed, as the file system listed them when the golden file was made.
        let values = file["xattrs"]
            .as_object()?
            .iter()
            .rev()
            .map(|(name, value)| (name.clone(), unhex(value.as_str().unwrap())));
        Some((file["path"].as_str().unwrap().trim_start_matches('/').to_owned(), values.collect()))
    };
    apk::Plan {
        info: apk::Info {
            name: name.to_owned(),
            version: input["version"].as_str().unwrap().to_owned(),
            arch: input["arch"].as_str().unwrap().to_owned(),
            description: owned("description"),
            license: owned("license"),
            origin: owned("origin"),
            maintainer: owned("maintainer"),
            url: owned("url"),
            repo_commit: (!commit.is_empty()).then(|| unhex(commit).try_into().unwrap()),
            build_time: number("build-time"),
            provider_priority: number("provider-priority"),
            depends: list("depends"),
            provides: list("provides"),
            replaces: list("replaces"),
            install_if: list("install-if"),
            recommends: list("recommends"),
            layer: number("layer"),
            tags: text("tags").split_whitespace().map(str::to_owned).collect(),
            ..apk::Info::default()
        },
        files: files(name),
        xattrs: input["files"].as_array().unwrap().iter().filter_map(xattrs).collect(),
        scripts: input["scripts"].as_array().unwrap().iter().map(script).collect(),
        triggers: input["triggers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| item.as_str().unwrap().to_owned())
            .collect(),
        replaces_priority: number("replaces-priority"),
        time: inputs["source_date_epoch"][name].as_u64().unwrap(),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
