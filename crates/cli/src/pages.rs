//! `completions` and `man`: made from the command line itself, so that they cannot differ from it.

use crate::args::Arguments;
use crate::output::unwritable;
use clap::CommandFactory;
use heyho_local::vocabulary::Fault;
use std::io::Write;
use std::process::ExitCode;

pub fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Fault> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "heyho", &mut script);
    print(&script)
}

/// One page: the command, and then each of its commands.
pub fn man() -> Result<ExitCode, Fault> {
    let mut page = Vec::new();
    let mut command = Arguments::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page).map_err(unwritable)?;
    for sub in commands(&command, "heyho") {
        let man = clap_mangen::Man::new(sub.1);
        let mut section = Vec::new();
        man.render_synopsis_section(&mut section).map_err(unwritable)?;
        man.render_description_section(&mut section).map_err(unwritable)?;
        man.render_options_section(&mut section).map_err(unwritable)?;
        let section = String::from_utf8_lossy(&section).replace(".SH ", ".SS ");
        write!(page, ".SH \"{}\"\n{section}", sub.0.to_uppercase()).map_err(unwritable)?;
    }
    print(&page)
}

/// Every command below this one, with the words it is called by.
fn commands(of: &clap::Command, words: &str) -> Vec<(String, clap::Command)> {
    let mut all = Vec::new();
    for sub in of.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let words = format!("{words} {}", sub.get_name());
        all.push((words.clone(), sub.clone()));
        all.extend(commands(sub, &words));
    }
    all
}

fn print(bytes: &[u8]) -> Result<ExitCode, Fault> {
    std::io::stdout().write_all(bytes).map_err(unwritable)?;
    Ok(ExitCode::SUCCESS)
}
