//! A JSON tree that keeps every number as its text, and the canonical form of a value.
//!
//! serde_json's own `Value` rounds `2.4e21` and refuses a record for one half of an emoji; a record must be
//! carried verbatim. So the text is split with `RawValue`, level by level, and numbers stay text.
//!
//! Limits, checked while reading: at most [`MAX_DEPTH`] levels of nesting; no key twice in one object.

use crate::fault::planted;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Write as _};

/// Objects and arrays inside each other, the outermost counted.
pub const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// The digits as they were written.
    Number(String),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("not valid JSON: {0}")]
    Syntax(String),
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("the key {0:?} stands twice in one object")]
    DuplicateKey(String),
}

impl Json {
    /// Reads a whole text. Lone surrogates must have been replaced before: see [`repair`].
    pub fn parse(text: &str) -> Result<Json, JsonError> {
        let text = text.trim_matches(WHITE);
        // An object or an array is checked whole when it is split.
        if !text.starts_with(['{', '[']) {
            serde_json::from_str::<&RawValue>(text).map_err(syntax)?;
        }
        node(text, 1)
    }

    /// The value of a key, when this is an object and the value is there and not null.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(entries) => {
                entries.iter().find(|(k, _)| k == key).map(|(_, v)| v).filter(|v| !matches!(v, Json::Null))
            }
            _ => None,
        }
    }

    /// The first of these names that is present and not null.
    pub fn first(&self, names: &[&str]) -> Option<&Json> {
        names.iter().find_map(|name| self.get(name))
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(s) => Some(s),
            _ => None,
        }
    }

    /// The number as the nearest double: for comparing and for ranges, never for storing.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Json::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Equal JSON values have equal canonical forms: keys sorted, numbers by value, one way to escape. A number is
    /// at most three times as long there as it was written, all else at most as long.
    pub fn canonical(&self) -> String {
        self.canonical_without(&[])
    }

    /// The same without these keys of the outermost object.
    pub fn canonical_without(&self, left_out: &[&str]) -> String {
        let mut out = String::new();
        match self {
            Json::Object(entries) => write_object(entries, left_out, &mut out),
            other => write_canonical(other, &mut out),
        }
        out
    }
}

fn syntax(e: serde_json::Error) -> JsonError {
    JsonError::Syntax(e.to_string())
}

/// What JSON calls white space: less than Rust does.
const WHITE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Of a text that is valid JSON, or an object or an array.
fn node(text: &str, depth: usize) -> Result<Json, JsonError> {
    let container = matches!(text.as_bytes().first(), Some(b'{' | b'['));
    if container && depth > MAX_DEPTH {
        return Err(JsonError::TooDeep);
    }
    match text.as_bytes().first() {
        Some(b'{') => {
            let entries = entries_of(text)?;
            let mut seen = HashSet::with_capacity(entries.len());
            if let Some((twice, _)) = entries.iter().find(|(key, _)| !seen.insert(key.as_str())) {
                return Err(JsonError::DuplicateKey(twice.clone()));
            }
            entries
                .into_iter()
                .map(|(key, value)| Ok((key, node(value.get(), depth + 1)?)))
                .collect::<Result<_, _>>()
                .map(Json::Object)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(syntax)?;
            items
                .into_iter()
                .map(|item| node(item.get(), depth + 1))
                .collect::<Result<_, _>>()
                .map(Json::Array)
        }
        // Nothing to undo in most: it is what stands between the quotes.
        Some(b'"') if !text.contains('\\') => {
            Ok(Json::String(text.get(1..text.len() - 1).unwrap_or_default().to_owned()))
        }
        Some(b'"') => serde_json::from_str(text).map(Json::String).map_err(syntax),
        Some(b't') => Ok(Json::Bool(true)),
        Some(b'f') => Ok(Json::Bool(false)),
        Some(b'n') => Ok(Json::Null),
        _ => Ok(Json::Number(text.to_owned())),
    }
}

/// The entries of an object in their order, each value as its text.
pub fn entries_of(text: &str) -> Result<Vec<(String, &RawValue)>, JsonError> {
    struct Entries<'a>(Vec<(String, &'a RawValue)>);
    impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct InOrder;
            impl<'de> Visitor<'de> for InOrder {
                type Value = Entries<'de>;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut entries = Vec::new();
                    while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                        entries.push(entry);
                    }
                    Ok(Entries(entries))
                }
            }
            deserializer.deserialize_map(InOrder)
        }
    }
    serde_json::from_str::<Entries<'_>>(text).map(|e| e.0).map_err(syntax)
}

/// Replaces, wherever they stand in a string, lone surrogates (half an emoji) and U+0000 by U+FFFD: neither
/// can be stored as text. All else stays to the letter. Valid JSON has backslashes only inside strings.
pub fn repair(text: &str) -> Cow<'_, str> {
    const REPLACEMENT: &str = "\\ufffd";
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        let start = at + found;
        let Some(unit) = escaped_unit(text, start) else {
            // another escape: skip it and the character it escapes
            at = text[start + 1..].chars().next().map_or(text.len(), |c| start + 1 + c.len_utf8());
            continue;
        };
        let paired =
            matches!(unit, 0xD800..=0xDBFF) && matches!(escaped_unit(text, start + 6), Some(0xDC00..=0xDFFF));
        if paired {
            at = start + 12;
            continue;
        }
        if (unit == 0 && !planted("nul-kept")) || matches!(unit, 0xD800..=0xDFFF) {
            out.push_str(&text[copied..start]);
            out.push_str(REPLACEMENT);
            copied = start + 6;
        }
        at = start + 6;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The code unit of a `\uXXXX` that begins at `at`.
fn escaped_unit(text: &str, at: usize) -> Option<u16> {
    let escape = text.get(at..at + 6)?;
    let digits = escape.strip_prefix("\\u")?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

fn write_canonical(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(b) => {
            let _ = write!(out, "{b}");
        }
        Json::Number(text) => out.push_str(&canonical_number(text)),
        Json::String(s) => write_string(s, out),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Json::Object(entries) => write_object(entries, &[], out),
    }
}

fn write_object(entries: &[(String, Json)], left_out: &[&str], out: &mut String) {
    let mut sorted: Vec<_> = entries.iter().filter(|(key, _)| !left_out.contains(&key.as_str())).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    out.push('{');
    for (i, (key, item)) in sorted.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(key, out);
        out.push(':');
        write_canonical(item, out);
    }
    out.push('}');
}

fn write_string(s: &str, out: &mut String) {
    if !s.bytes().any(|b| b < b' ' || b == b'"' || b == b'\\') {
        out.extend(["\"", s, "\""]);
        return;
    }
    // serde_json writes a str without failing; a failure would leave the canonical form shorter, never equal
    if let Ok(quoted) = serde_json::to_string(s) {
        out.push_str(&quoted);
    }
}

/// `1.50`, `15e-1` and `1.5` are one value: its digits without zeros at either end, and a power of ten.
fn canonical_number(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    // An exponent beyond i64 is no number anyone means; keep its text, so that only equal texts are equal.
    let Ok(exponent) = exponent.parse::<i64>() else {
        return text.to_owned();
    };
    let power = exponent.saturating_sub(fraction.len() as i64).saturating_add(trailing as i64);
    format!("{sign}{significant}e{power}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_as_text_and_compared_by_value() {
        let tree = Json::parse(r#"{"n":2.4e21,"big":123456789012345678901234567890}"#).unwrap();
        assert_eq!(tree.get("n"), Some(&Json::Number("2.4e21".into())));
        for (a, b, same) in [
            ("1.50", "15e-1", true),
            ("1.0", "1", true),
            ("-0", "0.0", true),
            ("100", "1E+2", true),
            ("0.001", "1e-3", true),
            ("12", "21", false),
            ("1", "-1", false),
            ("123456789012345678901234567890", "123456789012345678901234567891", false),
        ] {
            assert_eq!(canonical_number(a) == canonical_number(b), same, "{a} {b}");
        }
    }

    #[test]
    fn the_canonical_form_ignores_key_order_and_escapes() {
        let a = Json::parse(r#"{"b":[1,{"y":"\u0041","x":null}],"a":true}"#).unwrap();
        let b = Json::parse(r#" { "a" : true, "b" : [ 1.0, {"x":null,"y":"A"} ] } "#).unwrap();
        assert_eq!(a.canonical(), b.canonical());
    }

    #[test]
    fn a_cut_emoji_and_a_nul_are_replaced_and_nothing_else() {
        for (given, kept) in [
            (r#"{"t":"a\ud83d"}"#, r#"{"t":"a\ufffd"}"#),
            (r#"{"t":"\ude00b"}"#, r#"{"t":"\ufffdb"}"#),
            (r#"{"t":"\ud83d\ude00"}"#, r#"{"t":"\ud83d\ude00"}"#),
            (r#"{"t":"\ud83d\ud83d\ude00"}"#, r#"{"t":"\ufffd\ud83d\ude00"}"#),
            (r#"{"t":"x\u0000y"}"#, r#"{"t":"x\ufffdy"}"#),
            (r#"{"t":"\\ud83d"}"#, r#"{"t":"\\ud83d"}"#),
            (r#"{"t":"\\\ud83d"}"#, r#"{"t":"\\\ufffd"}"#),
            (r#"{"\ud83d":1}"#, r#"{"\ufffd":1}"#),
            (r#"{"t":"é\n"}"#, r#"{"t":"é\n"}"#),
        ] {
            assert_eq!(repair(given), kept);
            Json::parse(&repair(given)).unwrap();
        }
    }

    #[test]
    fn what_is_not_json_is_refused_wherever_it_stands() {
        for bad in
            ["", "tru", "1x", "\u{a0}1", "{\"a\":\"x\ny\"}", "[\"\t\"]", "{\"a\":tru}", "{\"a\":01}", "{} x"]
        {
            assert!(matches!(Json::parse(bad), Err(JsonError::Syntax(_))), "{bad:?}");
        }
        assert_eq!(Json::parse("\t\"é\" \r\n"), Ok(Json::String("é".into())));
    }

    #[test]
    fn the_canonical_form_is_at_most_three_times_as_long() {
        for text in ["1", "[1,2,3]", r#"{"a":0.5,"b":"\u0001\n"}"#, "-7", "1e-9", "12.50", "100"] {
            let canonical = Json::parse(text).unwrap().canonical();
            assert!(canonical.len() <= 3 * text.len(), "{canonical}");
        }
        let kept = Json::parse(r#"{"b":1,"a":{"b":2}}"#).unwrap().canonical_without(&["b"]);
        assert_eq!(kept, r#"{"a":{"b":2e0}}"#);
    }

    #[test]
    fn depth_and_double_keys_are_named() {
        let deep = format!("{}1{}", "[".repeat(64), "]".repeat(64));
        Json::parse(&deep).unwrap();
        let deeper = format!("[{deep}]");
        assert_eq!(Json::parse(&deeper), Err(JsonError::TooDeep));
        let absurd = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(Json::parse(&absurd), Err(JsonError::TooDeep));
        assert_eq!(Json::parse(r#"{"a":{"k":1,"\u006b":2}}"#), Err(JsonError::DuplicateKey("k".into())));
        assert!(matches!(Json::parse("{"), Err(JsonError::Syntax(_))));
    }
}
