//! Strict YAML: the only module that knows which library reads and writes it.
//!
//! Every file starts with `version: 1`; unknown and duplicate keys are errors (put `#[serde(deny_unknown_fields)]` on
//! the type), and an error names file, line, column and field.

use camino::Utf8Path;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Exit, Failure, Problem, Result};

/// The only known version of a file.
const VERSION: u32 = 1;

/// The largest configuration file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// Reads and checks a configuration file.
pub fn load<T: DeserializeOwned>(path: &Utf8Path) -> Result<T> {
    parse(path, &read(path)?)
}

/// Reads a configuration file's text, for [`parse`] and for callers that need the text itself.
pub fn read(path: &Utf8Path) -> Result<String> {
    let size = std::fs::metadata(path).map_err(|error| Failure::io("read the file", path, &error))?.len();
    if size > MAX_BYTES {
        return Err(refuse(path, format!("the file has {size} bytes"), "it is meant to be written by hand"));
    }
    std::fs::read_to_string(path).map_err(|error| Failure::io("read the file", path, &error))
}

/// Parses the text of a configuration file; `path` is for messages.
pub fn parse<T: DeserializeOwned>(path: &Utf8Path, text: &str) -> Result<T> {
    #[derive(Deserialize)]
    struct Head {
        version: Option<serde_yaml::Value>,
    }
    let head: Head = serde_yaml::from_str(text).map_err(|error| located(path, &error))?;
    match head.version {
        Some(serde_yaml::Value::Number(number)) if number.as_u64() == Some(VERSION.into()) => {}
        Some(other) => {
            let shown = serde_yaml::to_string(&other).unwrap_or_default();
            return Err(refuse(
                path,
                format!("version {} is not known", shown.trim()),
                "this program reads files of version 1",
            ));
        }
        None => return Err(refuse(path, "the key `version` is missing".into(), "the first line must be `version: 1`")),
    }
    serde_yaml::from_str(text).map_err(|error| located(path, &error))
}

/// Prints what [`load`] reads; the first field of `value` must be `version: 1`.
pub fn text<T: Serialize>(value: &T) -> Result<String> {
    serde_yaml::to_string(value).map_err(|error| {
        Failure::of(Problem {
            exit: Exit::Bug,
            id: "CONF003",
            what: "a file could not be written as YAML",
            why: error.to_string(),
            fix: "this is a defect of the program, not of your use of it; report it with this text",
        })
    })
}

/// Turns serde_yaml's error into a failure. Its text names field, problem and mostly the place, which moves to the
/// front.
fn located(path: &Utf8Path, error: &serde_yaml::Error) -> Failure {
    let text = error.to_string();
    let (place, text) = match error.location() {
        Some(at) => {
            let suffix = format!(" at line {} column {}", at.line(), at.column());
            (format!("{path}:{}:{}", at.line(), at.column()), text.replace(&suffix, ""))
        }
        None => (path.to_string(), text),
    };
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "CONF001",
        what: text,
        why: "the file must match its description exactly: unknown, missing and duplicate keys are errors",
        fix: "correct the named line; the neighbouring files of the same folder show every key",
    })
    .at(place)
}

fn refuse(path: &Utf8Path, what: String, why: &str) -> Failure {
    Failure::of(Problem {
        exit: Exit::Usage,
        id: "CONF002",
        what,
        why,
        fix: "compare with the neighbouring files of the same folder",
    })
    .at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only the reading is tested")]
    struct Machine {
        version: u32,
        memory: u32,
    }

    fn fails(text: &str) -> Failure {
        parse::<Machine>("m.yaml".into(), text).unwrap_err()
    }

    #[test]
    fn an_error_names_file_line_column_and_field() {
        let failure = fails("version: 1\nmemory: 1\nmemroy: 2\n");
        assert_eq!((failure.id(), failure.exit()), ("CONF001", Exit::Usage));
        let text = failure.to_string();
        assert!(text.contains("m.yaml:3:1") && text.contains("memroy") && text.contains("memory"), "{text}");

        let text = fails("version: 1\nmemory: much\n").to_string();
        assert!(text.contains("m.yaml:2:9") && text.contains("memory"), "{text}");
        assert!(fails("version: 1\nmemory: [1\n").to_string().contains("m.yaml:"));
        assert!(fails("version: 1\nmemory: 1\nmemory: 2\n").to_string().contains("duplicate"));
    }

    #[test]
    fn the_version_must_be_one() {
        for text in ["memory: 1\n", "version: 2\nmemory: 1\n", "version: x\nmemory: 1\n"] {
            assert_eq!(fails(text).id(), "CONF002", "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        #[derive(Serialize, Deserialize)]
        struct Written {
            version: u32,
            name: String,
        }
        let text = text(&Written { version: 1, name: "24.10".into() }).unwrap();
        assert_eq!(text, "version: 1\nname: '24.10'\n");
        assert_eq!(parse::<Written>("m.yaml".into(), &text).unwrap().name, "24.10");
        struct Never;
        impl Serialize for Never {
            fn serialize<S: serde::Serializer>(&self, _serializer: S) -> std::result::Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("never"))
            }
        }
        let failure = super::text(&Never).unwrap_err();
        assert_eq!((failure.id(), failure.exit()), ("CONF003", Exit::Bug));
    }
}
