//! Whether an answer is one of those that the OpenAPI document describes: its status, and its body to the last field.
//!
//! Only what this document uses of JSON Schema is read. An object that names its properties has no others: what the
//! backend says of itself is in the document. One that names none (a record) is open.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::sync::LazyLock;

pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| heyho_backend::openapi_document().unwrap());
    &DOCUMENT
}

/// Every answer the tests ever get is checked here.
pub fn check(method: &Method, path: &str, status: StatusCode, body: &Value) {
    let known = match status {
        // of what is not in the document only the form of the refusal is
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            let error = &document()["components"]["schemas"]["ErrorBody"];
            return fits(body, error)
                .unwrap_or_else(|wrong| panic!("{method} {path} answered {status}: {wrong}"));
        }
        _ => &document()["paths"][path][method.as_str().to_lowercase()]["responses"][status.as_str()],
    };
    assert!(known.is_object(), "{method} {path} answered {status}, which the document does not know");
    let schema = &known["content"]["application/json"]["schema"];
    if schema.is_null() {
        assert!(
            body.is_null(),
            "{method} {path} answered {status} with a body the document does not know: {body}"
        );
    } else if let Err(wrong) = fits(body, schema) {
        panic!("{method} {path} answered {status}: {wrong} in {body}");
    }
}

/// What is wrong with it, and where.
fn fits(value: &Value, schema: &Value) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.strip_prefix('#').unwrap();
        return fits(value, document().pointer(pointer).unwrap());
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fits(value, part)?;
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(parts) = schema[choice].as_array() {
            let wrongs: Vec<String> = parts.iter().filter_map(|part| fits(value, part).err()).collect();
            if wrongs.len() == parts.len() {
                return Err(format!("none of {}", wrongs.join("; ")));
            }
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is(value, kind)) {
        return Err(format!("{value} is not of {kinds:?}"));
    }
    if let (Value::Array(items), Value::Object(_)) = (value, &schema["items"]) {
        items.iter().try_for_each(|item| fits(item, &schema["items"]))?;
    }
    let (Value::Object(fields), Some(properties)) = (value, schema["properties"].as_object()) else {
        return Ok(());
    };
    for needed in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(needed) {
            return Err(format!("{needed} is missing"));
        }
    }
    for (name, field) in fields {
        let described = properties.get(name).ok_or_else(|| format!("{name} is not in the document"))?;
        fits(field, described).map_err(|wrong| format!("{name}: {wrong}"))?;
    }
    Ok(())
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the document has the type {other:?}"),
    }
}

/// What the contract names is in the document.
#[test]
fn the_document_names_itself_and_every_header() {
    let headers = |path: &str, method: &str| -> Vec<&str> {
        let parameters = document()["paths"][path][method]["parameters"].as_array().unwrap();
        parameters.iter().filter(|p| p["in"] == "header").map(|p| p["name"].as_str().unwrap()).collect()
    };
    for path in ["/api/v1/data/sync", "/api/sync/page-visits", "/api/sync/tab-aggregates"] {
        assert_eq!(headers(path, "post"), ["Idempotency-Key", "X-Idempotency-Key", "X-Device-ID"]);
    }
    assert_eq!(headers("/api/v1/browsing_data", "delete"), ["X-Device-ID"]);
    assert!(document()["paths"]["/api/v1/openapi.json"]["get"].is_object());
}

/// Control: what is wrong in each way is noticed.
#[test]
fn a_body_that_is_not_described_is_noticed() {
    let good = serde_json::json!({
        "success": true, "batchId": null, "message": "m", "version": 1, "feed_epoch": "e",
        "data": {"page_visits_synced": 1, "tab_aggregates_synced": 0, "rejected_records_count": 0, "validation_errors": []},
    });
    let path = "/api/v1/data/sync";
    check(&Method::POST, path, StatusCode::OK, &good);
    type Spoil = fn(&mut Value);
    let spoils: [Spoil; 4] = [
        |body| body["version"] = Value::from("1"),
        |body| body["internal"] = Value::from("detail"),
        |body| drop(body["data"].as_object_mut().unwrap().remove("page_visits_synced")),
        |body| body["batchId"] = Value::from(5),
    ];
    for spoil in spoils {
        let mut body = good.clone();
        spoil(&mut body);
        assert!(
            std::panic::catch_unwind(|| check(&Method::POST, path, StatusCode::OK, &body)).is_err(),
            "{body}"
        );
    }
}
