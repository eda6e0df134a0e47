//! A host and everything under it, and what of a record is about it.
//!
//! What can be read as a record is judged as a privacy rule would judge it (`heyho_records::rules`, `drop`). What cannot
//! (it was cut, a bit of it has flipped, it breaks a rule of the contract) has no certain address, and one name in it
//! is enough: each of its words that a browser would take for the name of a host is read as one, with the escapes of
//! JSON and of addresses resolved, in letters or as `xn--`. So `notbank.example` and `bank.example.org` are other names
//! than `bank.example`; `my.bank.example`, `\u0062ank.example` and `%62ank.example` are of it. A name that is itself
//! damaged is not known again.

use heyho_records::glance::host_name;
use heyho_records::rules::{self, Action, Dropped, Match, Rule};
use heyho_records::{Kind, Record};
use std::borrow::Cow;

#[derive(Debug)]
pub(crate) struct Site {
    pub domain: String,
    rules: [Rule; 1],
}

/// What becomes of one text.
pub(crate) enum Fate<'a> {
    Kept,
    Changed(Cow<'a, str>),
    Gone,
}

impl Site {
    pub fn of(domain: &str) -> Site {
        let plain = || domain.trim().trim_start_matches("*.").trim_end_matches('.').to_lowercase();
        let domain = host_name(domain).unwrap_or_else(plain);
        let rule = Rule {
            id: "forget".to_owned(),
            r#match: Match::Host,
            pattern: format!("*.{domain}"),
            action: Action::Drop,
        };
        Site { rules: [rule], domain }
    }

    pub fn judge<'a>(&self, kind: Kind, text: &'a str, dropped: &mut Dropped) -> Fate<'a> {
        match rules::apply(&self.rules, kind, text, dropped) {
            None => Fate::Gone,
            Some(after) if Record::read(kind, &after).is_err() => match self.is_named_in(text) {
                true => Fate::Gone,
                false => Fate::Kept,
            },
            Some(Cow::Borrowed(_)) => Fate::Kept,
            Some(Cow::Owned(after)) => Fate::Changed(Cow::Owned(after)),
        }
    }

    pub fn is_named_in(&self, text: &str) -> bool {
        let text = unescaped(text);
        // As it stands too: a sign that looks like an escape may be none.
        [decoded(&text).as_str(), &text].iter().any(|text| {
            let between = |c: char| !c.is_alphanumeric() && !['-', '.', '_'].contains(&c);
            // An address in numbers and colons is no word.
            text.split(between).any(|word| self.covers(word))
                || self.domain.contains(':') && text.contains(&self.domain)
        })
    }

    fn covers(&self, word: &str) -> bool {
        // Most words are none, and a number would be read as an address.
        if word.contains('.') != self.domain.contains('.') {
            return false;
        }
        let under = |host: &str| {
            host.strip_suffix(&self.domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        host_name(word).is_some_and(|host| under(&host))
    }
}

/// With the escapes of JSON resolved wherever they stand, those of a single letter to a blank.
fn unescaped(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let units: Vec<u16> =
            [unit(rest), rest.get(6..).and_then(unit)].into_iter().map_while(|unit| unit).collect();
        match char::decode_utf16(units.iter().copied()).next() {
            Some(letter) => {
                let letter = letter.unwrap_or(char::REPLACEMENT_CHARACTER);
                out.push(letter);
                rest = &rest[6 * letter.len_utf16()..];
            }
            None => {
                out.push(' ');
                let escape = rest.chars().take(2).map(char::len_utf8).sum::<usize>();
                rest = &rest[escape..];
            }
        }
    }
    out + rest
}

/// `\uXXXX` at the beginning.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

/// With the escapes of addresses resolved, wherever they stand.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let byte = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_cannot_be_read_the_name_decides_in_every_spelling_and_no_other_name() {
        let named = |domain: &str, text: &str| {
            matches!(Site::of(domain).judge(Kind::PageVisit, text, &mut Dropped::default()), Fate::Gone)
        };
        for text in [
            "https://bank.example/a",
            "cut short at http://my.Bank.example",
            r#"{"id":"a","url":"bank.example"}"#,
            r#"{"id":"a","url":"http:\/\/\u0062ank.example\/","#,
            r#"{"note":"\nbank.example\n"#,
            r#"{"u":"http://a/?to=https%3A%2F%2Fwww.bank.example%2F"#,
            "http://%62ank%2Eexample/",
            "see bank.example.",
            "mailto:somebody@bank.example",
        ] {
            assert!(named("bank.example", text), "{text}");
        }
        for text in [
            "https://notbank.example/",
            "https://my-bank.example/",
            "https://bank.example.org/",
            "https://bank.examples/",
            r#"{"id":"a","url":"\u0062\u0061nk.exampl"#,
            "bank",
            "example",
        ] {
            assert!(!named("bank.example", text), "{text}");
        }
        for text in [
            "http://bücher.example/",
            "http://BÜCHER.example",
            r"http:\/\/b\u00fccher.example",
            "xn--bcher-kva.example",
        ] {
            assert!(named("bücher.example", text), "{text}");
        }
        assert!(named("[::1]", "at http://[::1]:8080/") && named("localhost", "at http://localhost:8080/"));
        assert!(!named("localhost", "notlocalhost") && !named("1.0.0.5", "it costs 1.6"));
        assert!(
            named("a.example", r"\ud83d\ude00 a.example \ud83d a.example \u00 \"),
            "escapes that are none"
        );
    }
}
