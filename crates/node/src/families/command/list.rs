//! COMMAND LIST.

use trefoil_commands::{CommandError, glob_match};

use super::describe::categories;
use crate::handler::{Flow, NodeCall};
use crate::table::{Entry, TABLE};

/// Which commands are listed.
enum Filter<'a> {
    All,
    /// Of a module: there are none.
    Module,
    Category(&'a [u8]),
    Pattern(&'a [u8]),
}

pub(super) fn list(call: &mut NodeCall<'_>) -> Result<Flow, CommandError> {
    let args = call.args;
    let is = |at: usize, word: &str| args.get(at).eq_ignore_ascii_case(word.as_bytes());
    let filter = match args.len() {
        2 => Filter::All,
        5 if is(2, "FILTERBY") && is(3, "MODULE") => Filter::Module,
        5 if is(2, "FILTERBY") && is(3, "ACLCAT") => Filter::Category(args.get(4)),
        5 if is(2, "FILTERBY") && is(3, "PATTERN") => Filter::Pattern(args.get(4)),
        _ => return Err(CommandError::Syntax),
    };
    let mut names = Vec::new();
    collect(TABLE.entries(), &filter, &mut names);
    let mut reply = call.reply();
    reply.array(names.len());
    for name in names {
        reply.bulk(name.as_bytes());
    }
    Ok(Flow::Continue)
}

fn collect<'t>(entries: &'t [Entry], filter: &Filter<'_>, names: &mut Vec<&'t str>) {
    for entry in entries {
        let is_listed = match filter {
            Filter::All => true,
            Filter::Module => false,
            Filter::Category(wanted) => {
                categories(entry).any(|category| wanted.eq_ignore_ascii_case(category.as_bytes()))
            }
            Filter::Pattern(pattern) => {
                glob_match(&pattern.to_ascii_lowercase(), entry.full_name.as_bytes())
            }
        };
        if is_listed {
            names.push(&entry.full_name);
        }
        collect(&entry.subcommands, filter, names);
    }
}
