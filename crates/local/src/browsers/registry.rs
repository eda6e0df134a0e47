//! What `reg export` writes of a key: UTF-16 with a byte order mark, whatever the console's code page, which is what
//! `reg query` writes in. Pure, so that it is tested on every system.
//!
//! ```text
//! Windows Registry Editor Version 5.00
//!
//! [HKEY_CURRENT_USER\Software\…\com.heyho.companion]
//! @="C:\\Users\\Zoë\\…\\com.heyho.companion.chromium.json"
//! ```

/// The text without a name, of the first key.
pub(super) fn default_value(exported: &[u8]) -> Option<String> {
    let units = exported.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    let (_, key) = text.split_once("\n[")?;
    let values = key.lines().skip(1).take_while(|line| !line.starts_with('['));
    let quoted = values.filter_map(|line| line.strip_prefix("@=\"")?.strip_suffix('"')).next()?;
    let (mut value, mut escaped) = (String::new(), false);
    for letter in quoted.chars() {
        escaped = letter == '\\' && !escaped;
        if !escaped {
            value.push(letter);
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(values: &str) -> Vec<u8> {
        let key = r"HKEY_CURRENT_USER\Software\Mozilla\NativeMessagingHosts\com.heyho.companion";
        let text = format!(
            "\u{feff}Windows Registry Editor Version 5.00\r\n\r\n[{key}]\r\n{values}\r\n[{key}\\below]\r\n@=\"another\"\r\n\r\n"
        );
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn a_path_is_read_as_it_was_written_in_any_letters() {
        let path = r"C:\Users\Zoë Müller\アプリ\🦊\com.heyho.companion.firefox.json";
        let line = format!("@=\"{}\"\r\n", path.replace('\\', "\\\\"));
        assert_eq!(default_value(&exported(&line)).as_deref(), Some(path));
        assert_eq!(default_value(&exported(&format!("\"name\"=\"x\"\r\n{line}"))).as_deref(), Some(path));
        assert_eq!(default_value(&exported("@=\"a\\\"b\\\\\"\r\n")).as_deref(), Some("a\"b\\"));
    }

    #[test]
    fn a_key_without_a_text_has_none() {
        for exported in [exported(""), exported("@=dword:00000001\r\n"), Vec::new(), b"no such key".to_vec()]
        {
            assert_eq!(default_value(&exported), None);
        }
    }
}
