//! Times as records carry them: ISO 8601 (without an offset: UTC) or milliseconds since the epoch.

use crate::json::Json;
use jiff::Timestamp;

/// Milliseconds since the epoch, or what is wrong with the value.
pub fn millis(value: &Json) -> Result<i64, String> {
    match value {
        Json::Number(text) => {
            let ms: f64 = text.parse().map_err(|_| format!("{text} is not a time"))?;
            let in_range = ms.is_finite()
                && ms >= Timestamp::MIN.as_millisecond() as f64
                && ms <= Timestamp::MAX.as_millisecond() as f64;
            if in_range { Ok(ms as i64) } else { Err(format!("{text} ms since the epoch is out of range")) }
        }
        Json::String(text) => iso(text).ok_or_else(|| {
            format!("{text:?} is neither ISO 8601 nor a number of milliseconds since the epoch")
        }),
        _ => Err("a time is an ISO 8601 string or a number of milliseconds since the epoch".to_owned()),
    }
}

fn iso(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let time = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(time.timestamp().as_millisecond())
}

/// Milliseconds as a timestamp; values beyond its range become its ends.
pub fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        for (text, ms) in [
            (r#""2024-01-15T10:30:00Z""#, Some(1_705_314_600_000)),
            (r#""2024-01-15T10:30:00""#, Some(1_705_314_600_000)),
            (r#""2024-01-15T11:30:00+01:00""#, Some(1_705_314_600_000)),
            (r#""2024-01-15T10:30:00.250Z""#, Some(1_705_314_600_250)),
            ("1705314600000", Some(1_705_314_600_000)),
            ("1705314600000.7", Some(1_705_314_600_000)),
            ("0", Some(0)),
            ("1e300", None),
            (r#""yesterday""#, None),
            (r#""""#, None),
            ("true", None),
        ] {
            assert_eq!(millis(&Json::parse(text).unwrap()).ok(), ms, "{text}");
        }
    }
}
