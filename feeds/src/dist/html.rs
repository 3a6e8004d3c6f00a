//! The web pages: which kernels the feed has, how to subscribe a router, what was proven for each row. They load
//! nothing from elsewhere, and work without JavaScript.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use model::Digest;
use serde_json::json;

use super::keys::KnownKeys;
use super::records::{Build, Feed, FolderRecord, Row, RowRecord};
use super::sandbox::list;
use crate::entry::About;

/// The style sheet of all pages.
const STYLE: &str = include_str!("page.css");
/// The script that helps to choose the line for a router.
const SCRIPT: &str = include_str!("page.js");

fn document(title: &str, body: Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    }
    .into_string()
}

/// The start page.
pub(crate) fn page(feed: &Feed, builds: &[&Build], known: &KnownKeys, script: &str) -> String {
    let command = format!(
        "cd /tmp && wget -q {url}/subscribe.sh && echo '{digest}  subscribe.sh' | sha256sum -c && sh subscribe.sh",
        url = feed.url,
        digest = Digest::of(script)
    );
    document(
        &format!("Feed {}", feed.name),
        html! {
            h1 { "Feed " code { (feed.name) } }
            p { "Kernel modules and programs for flow offload on OpenWrt, for each kernel at an address of its own." }
            section {
                h2 { "Subscribe a router" }
                p { "Run this on the router. It finds the running kernel, installs the keys and writes the one line \
                     that fits. If "
                    "no line fits, it lists what there is and changes nothing." }
                (copied("subscribe", &command))
                p { "Then " code { "opkg install kmod-nft-offload offloadctl" } " or " code { "apk add kmod-nft-offload offloadctl" } "." }
            }
            section #choose hidden {
                h2 { "Or write the line yourself" }
                form {
                    label { "Release " select #release {} }
                    label { "Target " select #target {} }
                    label { "Kernel " select #kernel {} }
                    label.wide { "or what " code { "ubus call system board" } " says "
                        textarea #board rows="3" spellcheck="false" placeholder="{ \"release\": … }" {} }
                }
                p #said role="status" {}
                @for manager in ["opkg", "apk"] {
                    div id={ "for-" (manager) } hidden { p { "In " code { "/" (list(manager)) } ":" } (copied(&format!("line-{manager}"), "")) }
                }
                p { "A router needs the " a href="#keys" { "key" } " too." }
            }
            section {
                h2 { "What is there" }
                table {
                    thead { tr { th { "Release" } th { "Target" } th { "State" } th { "Kernel" } th { "For" } th { "Proven on these bytes" } } }
                    tbody {
                        @for record in &feed.rows { (row(feed, record, builds)) }
                        @for missing in feed.missing.iter().filter(|missing| !feed.rows.iter().any(|row| row.row == missing.row)) {
                            tr { (cell("Release", &name(&missing.row))) (cell("Target", &missing.row.target))
                                td.bad data-label="State" { "missing: " (missing.what) " (" (missing.id) ")" } td.wide {} td.wide {} td.wide {} }
                        }
                    }
                }
            }
            (older(feed))
            section #keys {
                h2 { "Keys" }
                p { "Routers trust the feed by these keys. The next key is distributed before it signs anything, in \
                     the package "
                    code { (super::keyring::name(&feed.name)) } "." }
                table {
                    thead { tr { th { "For" } th { "State" } th { "File on the router" } th { "SHA-256 of the file" } } }
                    tbody { @for key in &known.keys {
                        tr { (cell("For", &key.manager)) (cell("State", key.status.word()))
                            td data-label="File" { a href=(key.place()) { code { "/" (key.on_router()) } } }
                            td data-label="SHA-256" { code { (key.sha256) } } }
                    } }
                }
                p { "Every file of this site is listed in " a href="sha256sums" { "sha256sums" } ", which "
                    a href="sha256sums.sig" { "signed with opkg's key" } "; "
                    a href="feed.json" { "feed.json" } " has this page's content for programs." }
            }
            script #data type="application/json" { (PreEscaped(data(feed))) }
            script { (PreEscaped(SCRIPT)) }
        },
    )
}

/// A text with a button to copy it; the script shows the button.
fn copied(id: &str, text: &str) -> Markup {
    html! { div.copied { pre #(id) { (text) } button type="button" data-copies=(id) hidden { "Copy" } } }
}

fn row(feed: &Feed, record: &RowRecord, builds: &[&Build]) -> Markup {
    let place = super::place(&record.row.line, &record.row.target, &record.kernel);
    let build = builds.iter().find(|build| super::place(&build.row.line, &build.row.target, &build.kernel) == place);
    let failed = feed.missing.iter().find(|missing| missing.row == record.row);
    html! {
        tr {
            (cell("Release", &name(&record.row)))
            td data-label="Target" { a href={ (record.row.line) "/" (record.row.target) "/" } { (record.row.target) } }
            @match failed {
                None => td.good data-label="State" { "published" },
                Some(missing) => td.bad data-label="State" { "an older build; the last build failed: " (missing.what) " (" (missing.id) ")" },
            }
            td data-label="Kernel" { a href={ (place) "/" } { code { (record.kernel.as_str()) } } }
            (cell("For", &build.map(|build| build.managers.join(", ")).unwrap_or_default()))
            (cell("Proven", &build.map_or_else(String::new, |build| proven(build))))
        }
    }
}

/// A release's usual name: preceded by its line unless it begins with it.
fn name(row: &Row) -> String {
    if row.release.starts_with(&row.line) { row.release.clone() } else { format!("{} {}", row.line, row.release) }
}

/// A table cell with its own label, for narrow screens, which show no table head.
fn cell(label: &str, text: &str) -> Markup {
    html! { td data-label=(label) { (text) } }
}

fn proven(build: &Build) -> String {
    let passed = build.verdicts.iter().filter(|verdict| verdict.verdict == "pass").count();
    match build.verdicts.len() {
        0 => "no scenario was run".into(),
        all => format!("{passed} of {all} scenarios"),
    }
}

/// Kernels that no current release has.
fn older(feed: &Feed) -> Markup {
    let is_current = |folder: &FolderRecord| {
        feed.rows.iter().any(|row| super::place(&row.row.line, &row.row.target, &row.kernel) == folder.place())
    };
    let older: Vec<&FolderRecord> = feed.folders.iter().filter(|folder| !is_current(folder)).collect();
    html! {
        @if !older.is_empty() {
            section {
                h2 { "Older kernels" }
                p { "For routers that still run them; nothing newer is published at these addresses." }
                ul { @for folder in older { li { a href={ (folder.place()) "/" } { code { (folder.place()) } } } } }
            }
        }
    }
}

/// The data from which the script offers its choices, as JSON.
fn data(feed: &Feed) -> String {
    let rows: Vec<_> = feed
        .rows
        .iter()
        .map(|row| json!([row.row.line, row.row.release, row.row.target, row.kernel.as_str()]))
        .collect();
    let folders: Vec<_> = feed
        .folders
        .iter()
        .map(|folder| json!([folder.line, folder.target, folder.kernel.as_str(), folder.managers]))
        .collect();
    let data = json!({ "name": feed.name, "url": feed.url, "rows": rows, "folders": folders }).to_string();
    // The text must not be able to close its own script element.
    data.replace('<', "\\u003c")
}

/// The page for a line and target.
pub(crate) fn target(feed: &Feed, line: &str, target: &str, builds: &[&Build]) -> String {
    let rows = feed.rows.iter().filter(|row| row.row.line == line && row.row.target == target);
    let folders = feed.folders.iter().filter(|folder| folder.line == line && folder.target == target);
    document(
        &format!("{line} for {target}"),
        html! {
            h1 { (line) " for " (target) }
            ul { @for row in rows { li { (row.row.release) ": " code { (row.kernel.as_str()) } } } }
            h2 { "Kernels" }
            ul { @for folder in folders {
                @let build = builds.iter().find(|build| build.kernel == folder.kernel && build.row.line == line && build.row.target == target);
                li { a href={ "kmods/" (folder.kernel.as_str()) "/" } { code { (folder.kernel.as_str()) } } " for " (folder.managers.join(", "))
                    @if let Some(build) = build { ": " (proven(build)) } }
            } }
            p { a href="releases.json" { "releases.json" } }
        },
    )
}

/// The page for a kernel.
pub(crate) fn folder(build: &Build, packages: &[(About, Digest)], feed: (&str, &str)) -> String {
    let (name, url) = feed;
    let place = super::place(&build.row.line, &build.row.target, &build.kernel);
    document(
        &format!("{} for {}", build.kernel, build.row.target),
        html! {
            h1 { code { (build.kernel.as_str()) } }
            p { "Packages for OpenWrt " (build.row.line) " on " (build.row.target) ", architecture " (build.architecture) ", package "
                code { "kernel" } " " (build.kernel_version) "." }
            @if build.managers.iter().any(|manager| manager == "opkg") {
                p { "In " code { "/etc/opkg/customfeeds.conf" } ":" } (copied("opkg", &format!("src/gz {name} {url}/{place}")))
            }
            @if build.managers.iter().any(|manager| manager == "apk") {
                p { "In " code { "/etc/apk/repositories.d/customfeeds.list" } ":" } (copied("apk", &format!("{url}/{place}/packages.adb")))
            }
            table {
                thead { tr { th { "Package" } th { "Version" } th { "SHA-256" } } }
                tbody { @for (about, digest) in packages {
                    tr { td data-label="Package" { a href=(about.file) { (about.name) } } (cell("Version", &about.version))
                        td data-label="SHA-256" { code { (digest) } } }
                } }
            }
            @if !build.verdicts.is_empty() {
                h2 { "Proven on these bytes" }
                ul { @for verdict in &build.verdicts { li { (verdict.scenario) " with " (verdict.manager) ": " (verdict.verdict) } } }
            }
            p { "More: " a href="build.json" { "build.json" } ", " a href="provenance.intoto.json" { "provenance" } ", "
                a href="Packages.bom.cdx.json" { "bill of materials" } ", " a href="sha256sums" { "sha256sums" } "." }
        },
    )
}
