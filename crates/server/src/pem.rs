//! Certificates and keys, from the files that parameters name.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use anyhow::{Context as _, Result, ensure};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A file, and the parameter that names it, for people.
pub(crate) struct NamedFile {
    parameter: &'static str,
    path: PathBuf,
}

impl NamedFile {
    /// None: the parameter is empty.
    pub(crate) fn given(parameter: &'static str, setting: &RwLock<Vec<u8>>) -> Option<NamedFile> {
        let bytes = setting.read().unwrap_or_else(PoisonError::into_inner);
        let path = PathBuf::from(String::from_utf8_lossy(&bytes).into_owned());
        (!bytes.is_empty()).then_some(NamedFile { parameter, path })
    }

    /// A file that an option names.
    pub(crate) fn at(parameter: &'static str, path: &Path) -> NamedFile {
        NamedFile { parameter, path: path.to_owned() }
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn says(&self, what: &str) -> String {
        format!("{} {}: {what}", self.parameter, self.path.display())
    }

    /// At least one certificate.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(self.path())
            .and_then(|certificates| certificates.collect());
        let certificates = read.with_context(|| self.says("can't be read"))?;
        ensure!(!certificates.is_empty(), self.says("no certificate in it"));
        Ok(certificates)
    }

    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_file(self.path()).with_context(|| self.says("no key can be read"))
    }

    /// Those that vouch for others.
    pub(crate) fn authorities(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for authority in self.certificates()? {
            roots.add(authority).with_context(|| self.says("not an authority's certificate"))?;
        }
        Ok(roots)
    }
}
