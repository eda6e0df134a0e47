use super::*;
use crate::config::{self, Config};
use std::path::PathBuf;

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn said(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn rule(id: &str, pattern: &str) -> Rule {
    Rule { id: id.to_owned(), r#match: Match::Host, pattern: pattern.to_owned(), action: Action::Drop }
}

const NOTED: &str = r#"# the file's own note

# above a
[[privacy.rules]] # at a
id = "a"
match = "host"
pattern = "a.example" # of a
action = "drop"

# between a and b
[[privacy.rules]]
id = "b"
match = "host"
pattern = "b.example"
action = "drp"
# behind b

[sync]
interval = "9m" # not too often

[[privacy.rules]]
id = "c"
# inside c
match = "host"
pattern = "c.example"
action = "drop" # the last of c
# behind c"#;

#[test]
fn a_rule_comes_in_behind_everything_and_changes_nothing_else() {
    for before in [NOTED, "", "# only a note\n", "[sync]\ninterval = \"9m\"", "[privacy]\n# none yet\n"] {
        let (_dir, path) = written(before);
        add_rule(&path, &rule("new", "*.bank.example")).unwrap();
        let after = said(&path);
        let behind = after.strip_prefix(before).unwrap_or_else(|| panic!("{after}"));
        let own = "[[privacy.rules]]\nid = \"new\"\nmatch = \"host\"\npattern = \"*.bank.example\"\naction = \"drop\"\n";
        assert_eq!(behind.trim_start(), own);
        assert!(config::settings(&path).rules.contains(&rule("new", "*.bank.example")), "{after}");
    }
}

#[test]
fn a_rule_goes_with_its_own_lines_and_nothing_else() {
    let (_dir, path) = written(NOTED);
    remove_rule(&path, &rule("c", "c.example")).unwrap();
    remove_rule(&path, &rule("a", "a.example")).unwrap();
    let left = r#"# the file's own note

# above a

# between a and b
[[privacy.rules]]
id = "b"
match = "host"
pattern = "b.example"
action = "drp"
# behind b

[sync]
interval = "9m" # not too often

# behind c"#;
    assert_eq!(said(&path), left);
}

#[test]
fn a_rule_is_taken_out_only_as_it_was_shown() {
    let (_dir, path) = written(NOTED);
    let seen = rule("a", "a.example");
    for other in [
        Rule { pattern: "*.a.example".to_owned(), ..seen.clone() },
        Rule { action: Action::Strip, ..seen.clone() },
        Rule { r#match: Match::Url, ..seen.clone() },
        rule("b", "b.example"),
        rule("gone", "gone.example"),
    ] {
        let error = remove_rule(&path, &other).unwrap_err();
        assert_eq!(error.code(), crate::vocabulary::FaultCode::NotFound);
        assert!(error.to_string().contains(&other.pattern), "{error}");
        assert!(!error.problem().text.contains('/'), "the window is told no folder");
    }
    assert_eq!(said(&path), NOTED);
    remove_rule(&path, &seen).unwrap();
    assert!(remove_rule(&path, &seen).is_err(), "it is gone by now");
}

/// Of two that were given one id by hand the one that was seen goes.
#[test]
fn two_rules_of_one_id_are_two() {
    let entry = |pattern: &str| {
        format!("[[privacy.rules]]\nid = 'bank'\nmatch = 'host'\npattern = '{pattern}'\naction = 'drop'\n")
    };
    let (_dir, path) = written(&format!("{}{}", entry("a.example"), entry("b.example")));
    remove_rule(&path, &rule("bank", "b.example")).unwrap();
    assert_eq!(said(&path), entry("a.example"));
}

#[test]
fn beside_a_mistaken_rule_the_others_are_shown_and_stay() {
    let (_dir, path) = written(NOTED);
    let shown = || {
        let settings = config::settings(&path);
        let problem = settings.problem.unwrap();
        assert!(problem.text.contains("id = \"b\"") && !problem.text.contains("a.example"), "{problem:?}");
        settings.rules.into_iter().map(|rule| rule.id).collect::<Vec<_>>()
    };
    assert_eq!(shown(), ["a", "c"]);
    add_rule(&path, &rule("new", "x.example")).unwrap();
    assert_eq!(shown(), ["a", "c", "new"]);
    assert!(rules(&path).is_err(), "nothing is gone by while one is mistaken");
    // Those that held stay in force until it is mended.
    let running = Config { rules: vec![rule("held", "held.example")], ..Config::default() };
    assert_eq!(config::read(&path).over(&running).rules, running.rules);
}

#[test]
fn rules_in_an_array_keep_what_is_noted_there_too() {
    let entry = |id: &str| {
        format!("{{ id = \"{id}\", match = \"host\", pattern = \"{id}.example\", action = \"drop\" }}")
    };
    let (a, b, c) = (entry("a"), entry("b"), entry("c"));
    let before =
        format!("privacy.rules = [ # ours\n  {a}, # of a\n  # above b\n  {b} # of b\n  , {c}\n  # end\n]\n");
    let (_dir, path) = written(&before);
    add_rule(&path, &rule("d", "d.example")).unwrap();
    assert_eq!(said(&path), before.replace(&c, &format!("{c}, {}", entry("d"))));
    for id in ["d", "b", "a", "c"] {
        remove_rule(&path, &rule(id, &format!("{id}.example"))).unwrap();
        assert!(rules(&path).unwrap().iter().all(|rule| rule.id != id));
    }
    for note in ["# ours", "# of a", "# above b", "# of b", "# end"] {
        assert!(said(&path).contains(note), "{}", said(&path));
    }
    assert_eq!(rules(&path).unwrap(), []);
    add_rule(&path, &rule("e", "e.example")).unwrap();
    assert_eq!(rules(&path).unwrap(), [rule("e", "e.example")]);
}

#[test]
fn what_cannot_be_a_rule_or_cannot_be_placed_changes_nothing() {
    for (before, new, words) in [
        (NOTED, rule("a", "x.example"), "an id of its own"),
        (NOTED, rule("b", "x.example"), "an id of its own"),
        (NOTED, rule("", "x.example"), "an id, and a pattern"),
        (NOTED, rule("n", " "), "an id, and a pattern"),
        ("privacy.rules = 5\n", rule("n", "x"), "integer"),
        ("[privacy\n", rule("n", "x"), "line 1"),
        ("privacy = { }\n", rule("n", "x"), "config.toml"),
    ] {
        let (_dir, path) = written(before);
        let error = add_rule(&path, &new).unwrap_err().to_string();
        assert!(error.contains(words), "{error} lacks {words}");
        assert_eq!(said(&path), before);
    }
    let more =
        "[[privacy.rules]]\nid = 'a'\nmatch = 'host'\npattern = 'x'\naction = 'drop'\n[privacy.rules.more]\n";
    let (_dir, path) = written(more);
    let error = remove_rule(&path, &rule("a", "x")).unwrap_err().to_string();
    assert!(error.contains("by hand"), "{error}");
    assert_eq!(said(&path), more);
}

/// Whoever adds one believes that the site is protected from then on.
#[test]
fn a_rule_that_fits_no_page_is_refused_with_what_is_accepted() {
    let (_dir, path) = written(NOTED);
    let url = |pattern: &str| Rule { r#match: Match::Url, ..rule("n", pattern) };
    for (new, words) in [
        (rule("n", "https://bank.example/"), "*.bank.example, without https://"),
        (rule("n", "bank.example/login"), "*.bank.example, without https://"),
        (rule("n", "localhost:3000"), "without a path or a port"),
        (url("bank.example/*"), "https://bank.example/private/*"),
    ] {
        let error = add_rule(&path, &new).unwrap_err();
        assert_eq!(error.code(), crate::vocabulary::FaultCode::BadData);
        let text = error.problem().text;
        assert!(text.contains(words) && text.contains(&new.pattern), "{text}");
        assert_eq!(said(&path), NOTED);
    }
    // By hand it may stand there: hosts go on, and the doctor says it.
    let (_dir, path) =
        written("[[privacy.rules]]\nid = 'a'\nmatch = 'host'\npattern = 'a/b'\naction = 'drop'\n");
    assert_eq!(rules(&path).unwrap(), [rule("a", "a/b")]);
}

/// As agent, window and command line do: none takes the other's change back.
#[test]
fn changes_at_once_are_all_there_in_the_end() {
    let (_dir, path) = written("# mine\n");
    const EACH: usize = 4;
    std::thread::scope(|scope| {
        for who in 0..3 {
            let path = &path;
            scope.spawn(move || {
                for n in 0..EACH {
                    add_rule(path, &rule(&format!("{who}-{n}"), "x.example")).unwrap();
                }
            });
        }
    });
    assert_eq!(rules(&path).unwrap().len(), 3 * EACH);
    assert!(said(&path).starts_with("# mine\n"));
}
