//! Who this node is: made up on first start, kept in `node.id`, never changed.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use trefoil_clock::NodeId;
use trefoil_log::{ClusterId, Identity};

const FILE: &str = "node.id";

/// Reads the identity in a data directory, or makes one up if there is none yet.
pub(crate) fn load_or_create(dir: &Path) -> Result<Identity> {
    let path = dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text).with_context(|| {
            format!("{} is damaged; restore it from a copy of this directory", path.display())
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(dir),
        Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
    }
}

/// The identity in a data directory, if it says.
pub(crate) fn of_dir(dir: &Path) -> Option<Identity> {
    parse(&fs::read_to_string(dir.join(FILE)).ok()?).ok()
}

fn create(dir: &Path) -> Result<Identity> {
    let identity = Identity { node: NodeId(rand::random()), cluster: ClusterId(rand::random()) };
    let unfinished = dir.join("node.id.part");
    let mut file = fs::File::create(&unfinished)?;
    writeln!(file, "node {:032x}\ncluster {:032x}", identity.node.0, identity.cluster.0)?;
    file.sync_all()?;
    fs::rename(&unfinished, dir.join(FILE))?;
    fs::File::open(dir)?.sync_all()?;
    Ok(identity)
}

fn parse(text: &str) -> Result<Identity> {
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| u128::from_str_radix(value.trim(), 16).ok())
    };
    match (field("node"), field("cluster")) {
        (Some(node), Some(cluster)) => {
            Ok(Identity { node: NodeId(node), cluster: ClusterId(cluster) })
        }
        _ => bail!("it should hold a line `node` and a line `cluster`"),
    }
}
