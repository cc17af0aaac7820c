//! What settings must be together.

use std::path::Path;

use super::{ConfigError, Settings};

impl Settings {
    /// The settings, if they go together.
    ///
    /// `file` is the configuration file that was read, `found_from` the data directory in which it
    /// was looked for.
    pub(super) fn checked(
        self,
        file: Option<&Path>,
        found_from: &Path,
    ) -> Result<Self, ConfigError> {
        self.check_network()?;
        self.check_places(file, found_from)?;
        if self.metrics_public && !self.metrics {
            return together("metrics_public is set although metrics is off: unset one of them");
        }
        Ok(self)
    }

    fn check_network(&self) -> Result<(), ConfigError> {
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return together("tls_certificate and tls_key belong together: give both or neither");
        }
        let protected =
            self.tls_certificate.is_some() || !self.trusted_proxies.entries().is_empty();
        if self.listen.0.ip().is_loopback() || protected {
            return Ok(());
        }
        together(&format!(
            "setting listen: {} can be reached from other machines, and without TLS everybody on \
             the way could read the keys and with them run commands here. Either listen on \
             127.0.0.1, or give tls_certificate and tls_key, or name the proxy that terminates TLS \
             in trusted_proxies",
            self.listen
        ))
    }

    fn check_places(&self, file: Option<&Path>, found_from: &Path) -> Result<(), ConfigError> {
        if self.work_dir.starts_with(&self.data_dir) || self.data_dir.starts_with(&self.work_dir) {
            return together(&format!(
                "setting work_dir: {} and the data directory {} lie in one another; agents work in \
                 the first and must not come near the second: choose another work_dir",
                self.work_dir.display(),
                self.data_dir.display()
            ));
        }
        let found_in = std::path::absolute(found_from).unwrap_or_else(|_| found_from.to_owned());
        let of_data_dir = file.is_some_and(|file| file.starts_with(&found_in));
        if of_data_dir && self.data_dir != found_in {
            return together(&format!(
                "setting data_dir: the configuration file in {} names another data directory, {}; \
                 remove it there and give --data-dir",
                found_in.display(),
                self.data_dir.display()
            ));
        }
        Ok(())
    }
}

fn together<T>(problem: &str) -> Result<T, ConfigError> {
    Err(ConfigError::Together(problem.to_owned()))
}
