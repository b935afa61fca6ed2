//! Names of nodes for people: the first digits are enough, and so is an address.

use anyhow::{Result, bail};

/// Digits of a node's name that are shown.
const SHOWN: usize = 8;
/// Digits of a whole name.
const DIGITS: usize = 32;

/// The first digits of a name.
pub(super) fn short(node: &str) -> &str {
    match node.is_ascii() && node.len() == DIGITS {
        true => &node[..SHOWN],
        false => node,
    }
}

/// A text in which whole names are cut to their first digits.
pub(super) fn shortened(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        if word > 0 {
            out.push_str(short(&rest[..word]));
            rest = &rest[word..];
        } else {
            let other = rest.find(|c: char| c.is_ascii_hexdigit()).unwrap_or(rest.len());
            out.push_str(&rest[..other]);
            rest = &rest[other..];
        }
    }
    out
}

/// The node that a person means: the beginning of its name, its address for clients, or that address's
/// port alone. `nodes` are names and addresses.
pub(super) fn find(wanted: &str, nodes: &[(String, String)]) -> Result<String> {
    let wanted = wanted.to_ascii_lowercase();
    let named = |prefix: &str| -> Vec<&(String, String)> {
        nodes.iter().filter(|(node, _)| !prefix.is_empty() && node.starts_with(prefix)).collect()
    };
    let exact = nodes.iter().filter(|(_, address)| !address.is_empty()).find(|(_, address)| {
        *address == wanted || address.rsplit_once(':').is_some_and(|(_, port)| port == wanted)
    });
    match (exact, named(&wanted).as_slice()) {
        (Some((node, _)), _) | (None, [(node, _)]) => Ok(node.clone()),
        (None, []) => bail!("no member is called '{wanted}'; the members are:\n{}", listed(nodes)),
        (None, several) => {
            let several: Vec<_> = several.iter().map(|it| (*it).clone()).collect();
            bail!(
                "several members are called '{wanted}'; say more of its name:\n{}",
                listed(&several)
            )
        }
    }
}

fn listed(nodes: &[(String, String)]) -> String {
    let lines = nodes.iter().map(|(node, address)| format!("  {node}  {address}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<(String, String)> {
        let node =
            |name: &str, address: &str| (format!("{name}{}", "0".repeat(30)), address.to_owned());
        vec![node("ab", "127.0.0.1:6379"), node("ac", "127.0.0.1:6380"), node("b1", "")]
    }

    #[test]
    fn a_node_is_found_by_what_tells_it_apart() {
        let all = nodes();
        for (wanted, at) in [("AB", 0), ("127.0.0.1:6380", 1), ("6380", 1), ("b", 2)] {
            assert_eq!(find(wanted, &all).expect("it is one"), all[at].0, "{wanted}");
        }
        let several = find("a", &all).expect_err("two of them").to_string();
        assert!(several.contains("several") && !several.contains("b1"), "{several}");
        let nobody = find("f", &all).expect_err("nobody").to_string();
        assert!(nobody.contains("127.0.0.1:6379"), "{nobody}");
        assert!(find("", &all).is_err());
    }

    #[test]
    fn long_names_in_sentences_are_cut() {
        let name = &nodes()[0].0;
        assert_eq!(
            shortened(&format!("node {name} leads, a bad egg")),
            "node ab000000 leads, a bad egg"
        );
        assert_eq!(shortened(""), "");
    }
}
