//! Which node is asked, and how it is reached: the options that all these commands share.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use rustls::ClientConfig;

use super::connection::{AskError, Connection, Door};
use crate::pem::NamedFile;

/// Where the password is looked for: not on the command line, which others can see.
const PASSWORD_VARIABLES: [&str; 2] = ["TREFOIL_PASSWORD", "REDISCLI_AUTH"];

/// Any node of the cluster, and how it is reached.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which node to ask")]
pub(crate) struct Target {
    /// Host of a node: any one of the cluster.
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub(super) host: String,
    /// Its port for clients.
    #[arg(long, short, value_name = "PORT", default_value_t = 6379)]
    pub(super) port: u16,
    /// The user to log in as. [default: `default`]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The password; better in the variable TREFOIL_PASSWORD (or REDISCLI_AUTH), which others do not see.
    #[arg(long, value_name = "PASSWORD")]
    password: Option<String>,
    /// Connect with TLS; needs --tls-ca-cert-file.
    #[arg(long)]
    tls: bool,
    /// The authorities that the node's certificate is checked against, PEM.
    #[arg(long, value_name = "FILE", requires = "tls")]
    tls_ca_cert_file: Option<PathBuf>,
    /// The certificate to show, PEM, if the node asks for one.
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    tls_key_file: Option<PathBuf>,
}

/// A question to the cluster.
#[derive(Args, Debug)]
pub(super) struct AskOptions {
    #[command(flatten)]
    pub(super) target: Target,
    /// For programs: the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl Target {
    /// What it takes to talk to the nodes of this cluster.
    pub(super) fn door(&self) -> Result<Door> {
        let variable = || PASSWORD_VARIABLES.iter().find_map(|name| std::env::var(name).ok());
        let password = self.password.clone().or_else(variable).filter(|word| !word.is_empty());
        let login = password.map(|password| (self.user.clone(), password));
        Ok(Door { login, tls: self.tls_config()? })
    }

    /// A connection to the node that was named.
    pub(super) fn connect(&self) -> Result<Connection> {
        self.door()?.open(&self.host, self.port).map_err(|error| self.explain(error))
    }

    /// The node that was named, as people write it.
    pub(super) fn address(&self) -> String {
        address(&self.host, self.port)
    }

    /// With what to do about it.
    pub(super) fn explain(&self, error: AskError) -> anyhow::Error {
        let address = self.address();
        match error {
            AskError::Unreachable(why) => anyhow::anyhow!(
                "no answer from {address}: {why}\nIs the node running there? --host and --port name \
                 another one; any node of the cluster will do."
            ),
            AskError::Refused(text) => match advice(&text) {
                Some(advice) => anyhow::anyhow!("{address} says: {text}\n{advice}"),
                None => anyhow::anyhow!("{address} says: {text}"),
            },
        }
    }

    fn tls_config(&self) -> Result<Option<Arc<ClientConfig>>> {
        if !self.tls {
            return Ok(None);
        }
        let Some(authorities) = &self.tls_ca_cert_file else {
            bail!("--tls needs --tls-ca-cert-file FILE: who vouches for the node's certificate?");
        };
        let roots = NamedFile::at("--tls-ca-cert-file", authorities).authorities()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match (&self.tls_cert_file, &self.tls_key_file) {
            (Some(cert), Some(key)) => builder.with_client_auth_cert(
                NamedFile::at("--tls-cert-file", cert).certificates()?,
                NamedFile::at("--tls-key-file", key).key()?,
            )?,
            _ => builder.with_no_client_auth(),
        };
        Ok(Some(Arc::new(config)))
    }
}

/// A host and a port, as people write them.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The other way round.
pub(super) fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((host, port.parse().ok().filter(|&port| port > 0)?))
}

/// What to do about an error that a node has answered with.
fn advice(text: &str) -> Option<&'static str> {
    const ADVICE: [(&str, &str); 8] = [
        ("NOAUTH", "Give the password in the variable TREFOIL_PASSWORD, or with --password."),
        (
            "WRONGPASS",
            "The password (TREFOIL_PASSWORD, REDISCLI_AUTH or --password) is another one there.",
        ),
        ("NOPERM", "This user may not do that; --user names another one."),
        ("LOADING", "It has just started; try again in a moment."),
        ("MASTERDOWN", "Nobody leads now; `trefoil status` tells why."),
        ("UNKNOWN", "It may still happen: look with `trefoil status` before you try again."),
        ("unknown command", "Is that a Trefoil node, and as new as this program?"),
        ("unknown subcommand", "Is that a Trefoil node, and as new as this program?"),
    ];
    let of_code = |(code, advice): (&str, &'static str)| text.contains(code).then_some(advice);
    ADVICE.into_iter().find_map(of_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_there_and_back() {
        for (host, port, text) in [("127.0.0.1", 1, "127.0.0.1:1"), ("::1", 2, "[::1]:2")] {
            assert_eq!(address(host, port), text);
            assert_eq!(split_address(text), Some((host, port)));
        }
        for bad in ["", "x", "x:", "x:0", "x:70000"] {
            assert_eq!(split_address(bad), None, "{bad}");
        }
    }

    #[test]
    fn errors_say_what_to_do_next() {
        assert!(
            advice("NOAUTH Authentication required.")
                .is_some_and(|it| it.contains("TREFOIL_PASSWORD"))
        );
        assert_eq!(advice("ERR something else"), None);
    }
}
