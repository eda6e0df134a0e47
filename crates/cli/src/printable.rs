//! What others wrote, titles of pages above all, as a terminal may be given it. Control characters are orders there: they
//! move the cursor, write over what stands above, or fill the clipboard; and marks of direction turn text around.

/// Of several lines.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { c } else { harmless(c) }).collect()
}

/// On one line, whatever it holds.
pub fn on_one_line(text: &str) -> String {
    text.chars().map(harmless).collect()
}

fn harmless(c: char) -> char {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    if c.is_control() || turns || breaks { char::REPLACEMENT_CHARACTER } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_order_to_a_terminal_is_left_and_all_else_stays() {
        // The clipboard, a line above, eight bits of the same, the bell, backwards.
        let title = "a\u{1b}]52;c;cm0=\u{7}b\u{1b}[1Ac\u{9b}2Kd\u{8}\u{7f}\u{202e}e\r\nüber – 猫 👩‍💻\tx";
        let shown = printable(title);
        assert!(shown.ends_with("e\u{fffd}\nüber – 猫 👩‍💻\tx"), "{shown:?}");
        assert!(shown.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'), "{shown:?}");
        assert!(!shown.contains('\u{202e}'));
        let line = on_one_line(title);
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
