//! E-mail addresses, in one spelling, so that one address is one account.

use crate::error::ApiError;
use crate::limits::MAX_EMAIL_CHARS;

/// The address in lower case, without spaces around it. The form is the one HTML's own e-mail field accepts.
pub fn parse(text: &str) -> Result<String, ApiError> {
    let address = text.trim().to_lowercase();
    let good = address.chars().count() <= MAX_EMAIL_CHARS
        && address.split_once('@').is_some_and(|(local, domain)| is_local(local) && is_domain(domain));
    if good {
        Ok(address)
    } else {
        Err(ApiError::invalid("email", "email must be an address such as ada@example.org"))
    }
}

fn is_local(local: &str) -> bool {
    !local.is_empty() && local.chars().all(|c| c.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c))
}

fn is_domain(domain: &str) -> bool {
    domain.split('.').all(|label| {
        !label.is_empty()
            && label.chars().count() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_spelling() {
        assert_eq!(parse(" Ada.Lovelace+x@Example.ORG ").unwrap(), "ada.lovelace+x@example.org");
        assert_eq!(parse("jürgen@bücher.example").unwrap(), "jürgen@bücher.example");
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a b@example.org",
            "ada@exa_mple.org",
            "ada@.org",
            "a@b@c",
            "ada@example..org",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&format!("{}@example.org", "a".repeat(250))).is_err());
    }
}
