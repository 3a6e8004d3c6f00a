//! A text view of any ADB file, like `apk adbdump`.
//!
//! It walks the field tables, so it also shows files that the stricter readers refuse.

use std::fmt::Write as _;
use std::io::{self, Read};

use model::Hex;

use super::schema::{self, Field, Shape, dependency};
use crate::adb::{Adb, Object, Schema, Tree, Value};
use crate::version::apk::Match;
use crate::{Error, Limits, ec};

/// Texts of at least this length are shown as a block.
const LONG: usize = 60;
/// How many bytes of a signature block are shown.
const SHOWN_SIGNATURE: usize = 54;

/// The file as text; signatures are marked as good when one of the keys made them.
pub fn dump(input: impl Read, keys: &[ec::PublicKey], limits: &Limits) -> Result<String, Error> {
    let (adb, mut blocks) = Adb::open(input, limits)?;
    let tree = Tree::new(&adb.payload)?;
    let fields: &[Field] = match adb.schema {
        Schema::Package => &schema::PACKAGE,
        Schema::Index => &schema::INDEX,
    };
    let mut text = format!(
        "#%SCHEMA: {:08X}\n# ADB block, size: {}, compat: {}, ver: {}\n",
        u32::from_le_bytes(adb.schema.bytes()),
        adb.payload.len(),
        adb.payload[0],
        adb.payload[1],
    );
    for line in tree.root()?.map_or(Ok(Vec::new()), |root| object(root, fields))? {
        text.push_str(&line);
        text.push('\n');
    }
    let digest = ec::digest(&adb.payload);
    for block in &adb.signatures {
        let good = keys.iter().any(|key| key.verify(adb.schema.bytes(), &digest, block));
        let [version, hash, rest @ ..] = &block[..] else { continue };
        let shown = &rest[..rest.len().min(SHOWN_SIGNATURE)];
        let verdict = if good { "OK" } else { "UNTRUSTED signature" };
        let _ = writeln!(text, "# sig v{version:02x} h{hash:02x} {}..: {verdict}", Hex(shown));
    }
    while let Some(data) = blocks.next_data()? {
        let _ = writeln!(text, "# data block, size: {}", data.length + 8);
        io::copy(&mut blocks.content(data.length), &mut io::sink())?;
    }
    Ok(text)
}

/// The lines of an object; its contents are indented by two.
fn object(object: Object<'_>, fields: &[Field]) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for field in fields {
        let value = object.field(field.number);
        if value != Value::NULL {
            named(&mut lines, field.name, &field.shape, object.tree(), value)?;
        }
    }
    Ok(lines)
}

fn named(lines: &mut Vec<String>, name: &str, shape: &Shape, tree: &Tree<'_>, value: Value) -> Result<(), Error> {
    match shape {
        Shape::Object(fields) => {
            lines.push(format!("{name}:"));
            if let Some(inner) = tree.object(value)? {
                lines.extend(object(inner, fields)?.into_iter().map(|line| format!("  {line}")));
            }
        }
        Shape::List(item) => {
            let Some(list) = tree.object(value)? else { return Ok(()) };
            lines.push(format!("{name}: # {} items", list.values().count()));
            for value in list.values() {
                let inner = match item {
                    Shape::Object(fields) => {
                        tree.object(value)?.map_or(Ok(Vec::new()), |inner| object(inner, fields))?
                    }
                    scalar_shape => vec![quoted(&scalar(scalar_shape, tree, value)?)],
                };
                for (position, line) in inner.into_iter().enumerate() {
                    lines.push(format!("  {} {line}", if position == 0 { "-" } else { " " }));
                }
            }
        }
        Shape::Text => {
            let text = scalar(shape, tree, value)?;
            if text.contains('\n') || text.len() >= LONG {
                lines.push(format!("{name}: |"));
                lines.extend(text.strip_suffix('\n').unwrap_or(&text).split('\n').map(|line| format!("  {line}")));
            } else {
                lines.push(format!("{name}: {}", quoted(&text)));
            }
        }
        scalar_shape => lines.push(format!("{name}: {}", scalar(scalar_shape, tree, value)?)),
    }
    Ok(())
}

fn scalar(shape: &Shape, tree: &Tree<'_>, value: Value) -> Result<String, Error> {
    let int = |value| tree.int(value).map(|number| number.unwrap_or(0));
    Ok(match shape {
        Shape::Number => int(value)?.to_string(),
        Shape::Octal => format!("0{:o}", int(value)?),
        Shape::Hex => Hex(tree.blob(value)?).to_string(),
        Shape::Text => printable(tree.blob(value)?),
        Shape::Xattr => {
            let bytes = tree.blob(value)?;
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            format!("{}={}", printable(&bytes[..end]), Hex(bytes.get(end + 1..).unwrap_or_default()))
        }
        Shape::Dependency => match tree.object(value)? {
            Some(item) => dependency_text(item)?,
            None => String::new(),
        },
        Shape::Object(_) | Shape::List(_) => String::new(),
    })
}

fn dependency_text(item: Object<'_>) -> Result<String, Error> {
    let (name, version) = (printable(item.blob(dependency::NAME)?), printable(item.blob(dependency::VERSION)?));
    let bits = item.int(dependency::MATCH)?.unwrap_or(Match::EQUAL.bits().into());
    let relation = Match::from_bits(bits).unwrap_or(Match::ANY);
    let conflict = if relation.contains(Match::CONFLICT) { "!" } else { "" };
    if version.is_empty() {
        Ok(format!("{conflict}{name}"))
    } else {
        Ok(format!("{conflict}{name}{relation}{version}"))
    }
}

/// Escapes control characters, so that a foreign file cannot send them to a terminal.
fn printable(bytes: &[u8]) -> String {
    let keep = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    String::from_utf8_lossy(bytes).chars().map(|c| if keep(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// Quotes a text as in YAML where a plain one would mean something else.
fn quoted(text: &str) -> String {
    let special = text.starts_with(|c: char| "!&*{}[]|>@`%#,?'\"".contains(c) || c == ' ')
        || text.starts_with("- ")
        || text.contains(": ")
        || text.contains(" #");
    if special { format!("'{}'", text.replace('\'', "''")) } else { text.to_owned() }
}
