//! What is wrong at a stop of a tour: axe with all of its rules, something wider than the window, something that moves
//! where nothing should. It is noted with what the head says; a tour is not ended by the first finding.

use crate::tour::{Look, Visitor};
use crate::window::Window;
use anyhow::{Result, ensure};

#[derive(Debug)]
pub struct Judge {
    look: Look,
    /// At each stop the other colours are judged too: where no other tour does.
    both: bool,
    heads: Vec<(String, String)>,
    wrong: Vec<String>,
}

impl Judge {
    pub fn new(look: Look) -> Judge {
        Judge { look, both: false, heads: Vec::new(), wrong: Vec::new() }
    }

    pub fn of_both(look: Look) -> Judge {
        Judge { both: true, ..Judge::new(look) }
    }

    /// That nothing was wrong, and that the head said these parts at these stops.
    pub fn ends(self, says: &[(&str, &[&str])]) -> Result<()> {
        for (name, parts) in says {
            let said = self.heads.iter().find(|(stop, _)| stop == name).map_or("", |(_, said)| said);
            for part in *parts {
                ensure!(said.contains(part), "{name}: {part:?} is not in {said:?}");
            }
        }
        if self.look.language == "de" {
            let english = ["records", "Sync", "Sign in", "backend", "Last", "Next", "store", "disk"];
            for (name, said) in &self.heads {
                ensure!(!english.iter().any(|word| said.contains(word)), "{name} is not German: {said:?}");
            }
        }
        ensure!(self.wrong.is_empty(), "{:#?}", self.wrong);
        Ok(())
    }
}

impl Visitor for Judge {
    async fn look(&mut self, name: &str, state: &str, window: &Window) -> Result<()> {
        if !state.is_empty() {
            window.shows("status-head", "data-state", state).await?;
            self.heads.push((name.to_owned(), window.read("status-head").await?));
        } else if window.count("no-start").await? > 0 {
            self.heads.push((name.to_owned(), window.read("no-start").await?));
        }
        self.wrong.extend(window.axe().await?.into_iter().map(|found| format!("{name}: {found}")));
        if self.both {
            let found = window.axe_in_other_colours().await?;
            self.wrong
                .extend(found.into_iter().map(|found| format!("{name}, in the other colours: {found}")));
        }
        let overflow = window.value("document.documentElement.scrollWidth - window.innerWidth").await?;
        if overflow.as_i64().is_none_or(|pixels| pixels > 0) {
            self.wrong.push(format!("{name}: {overflow} pixels too wide"));
        }
        if self.look.eased {
            let still = window.value("matchMedia('(prefers-reduced-motion: reduce)').matches").await?;
            let moving = window.value("document.getAnimations().length").await?;
            if still != true || moving != 0 {
                self.wrong.push(format!("{name}: less motion is heard of: {still}; {moving} things move"));
            }
        }
        Ok(())
    }
}
