//! Everything as one JSON object; its schema is `xtask/report.schema.json`.

use serde::Serialize;

use super::{Counts, Run};

/// Name and version of the report; fields may be added, never renamed.
pub const SCHEMA: &str = "openwrt-offload-report/1";

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    headline: String,
    counts: Counts,
    #[serde(flatten)]
    run: &'a Run,
}

/// Renders the report, which ends with a newline.
pub fn render(run: &Run) -> String {
    let report = Report { schema: SCHEMA, headline: run.headline(), counts: run.counts(), run };
    // Serialisation fails only for maps whose keys are not text, and the report has none.
    let mut text = serde_json::to_string_pretty(&report).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::tests::sample::sample;

    const TEXT: &str = include_str!("../../report.schema.json");

    /// Implements the part of JSON Schema that ours uses: returns violations, by path.
    fn problems(schema: &Value, root: &Value, value: &Value, path: &str) -> Vec<String> {
        if let Some(name) = schema["$ref"].as_str() {
            return problems(&root["$defs"][name.trim_start_matches("#/$defs/")], root, value, path);
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            let fits = choices.iter().any(|choice| problems(choice, root, value, path).is_empty());
            return if fits { Vec::new() } else { vec![format!("{path}: fits none of the choices")] };
        }
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_u64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let mut found = Vec::new();
        let wanted = schema["type"].as_str().unwrap_or("none");
        if wanted != kind && !(wanted == "number" && kind == "integer") {
            found.push(format!("{path}: {kind} instead of {wanted}"));
        }
        if schema.get("const").is_some_and(|only| only != value)
            || schema["enum"].as_array().is_some_and(|values| !values.contains(value))
        {
            found.push(format!("{path}: {value} is not allowed"));
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            found.extend(problems(&schema["items"], root, item, &format!("{path}/{index}")));
        }
        for (key, field) in value.as_object().into_iter().flatten() {
            match schema["properties"].get(key) {
                Some(schema) => found.extend(problems(schema, root, field, &format!("{path}/{key}"))),
                None => found.push(format!("{path}/{key}: is not in the schema")),
            }
        }
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.get(key).is_none() {
                found.push(format!("{path}/{key}: is missing"));
            }
        }
        found
    }

    fn check(report: &Value) -> Vec<String> {
        let schema: Value = serde_json::from_str(TEXT).unwrap();
        problems(&schema, &schema, report, "")
    }

    #[test]
    fn a_report_fits_its_schema_and_a_changed_one_does_not() {
        let report: Value = serde_json::from_str(&render(&sample())).unwrap();
        assert_eq!(check(&report), [""; 0]);
        assert_eq!(report["schema"], SCHEMA);
        let (passed, costs) = (&report["counts"]["passed"], &report["costs"][0]["costs"][0]["forwarding"]["median"]);
        assert!(passed.as_u64() > Some(0) && costs.as_f64() > Some(0.0), "{report}");
        for (pointer, key) in
            [("", "exit"), ("/cases/0", "reproduce"), ("/costs/0/costs/0", "path"), ("/cases/0/record", "checks")]
        {
            let mut less = report.clone();
            less.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key).unwrap();
            assert_eq!(check(&less), [format!("{pointer}/{key}: is missing")]);
            let mut other = report.clone();
            other.pointer_mut(pointer).unwrap()[key] = Value::Null;
            assert!(!check(&other).is_empty(), "{pointer}/{key}");
            other.pointer_mut(pointer).unwrap()["new"] = Value::Null;
            assert!(check(&other).iter().any(|problem| problem.contains("is not in the schema")));
        }
    }

    #[test]
    fn every_part_of_the_schema_is_described() {
        fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
            for (key, part) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}/{key}");
                if part["description"].as_str().is_none_or(str::is_empty) {
                    found.push(path.clone());
                }
                undescribed(part, &path, found);
            }
        }
        let schema: Value = serde_json::from_str(TEXT).unwrap();
        let mut found = Vec::new();
        undescribed(&schema, "", &mut found);
        schema["$defs"].as_object().unwrap().iter().for_each(|(name, part)| undescribed(part, name, &mut found));
        assert_eq!(found, [""; 0]);
    }
}
