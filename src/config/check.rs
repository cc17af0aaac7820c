//! What settings must be together.

use std::path::Path;

use super::{ConfigError, Settings, StoreKind};

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
        self.check_eventstore()?;
        self.check_places(file, found_from)?;
        self.check_store()?;
        if self.metrics_public && !self.metrics {
            return together("metrics_public is set although metrics is off: unset one of them");
        }
        Ok(self)
    }

    fn check_store(&self) -> Result<(), ConfigError> {
        if self.store == StoreKind::Kurrentdb && self.kurrentdb.is_none() {
            return together(
                "setting store: for kurrentdb the setting kurrentdb must say where it is, for \
                 example esdb://host:2113",
            );
        }
        if self.store == StoreKind::Sqlite && self.kurrentdb.is_some() {
            return together(
                "setting kurrentdb is given although the log lies in the data directory: set store \
                 to kurrentdb, or unset it",
            );
        }
        if self.store == StoreKind::Sqlite && self.cluster_secret_file.is_some() {
            return together(
                "setting cluster_secret_file: nodes share a log on a KurrentDB; set store to kurrentdb, \
                 or unset it",
            );
        }
        if self.node_ca_file.is_some() && self.cluster_secret_file.is_none() {
            return together(
                "setting node_ca_file: it is for nodes that ask each other; set cluster_secret_file, or \
                 unset it",
            );
        }
        if self.kurrentdb_timeout_s.get() < self.kurrentdb_attempt_timeout_s.get() {
            return together("kurrentdb_timeout_s is shorter than kurrentdb_attempt_timeout_s");
        }
        Ok(())
    }

    /// Refuses a password where others may read it.
    pub(super) fn check_login(&self, from_file: bool) -> Result<(), ConfigError> {
        let Some(place) = self.kurrentdb.as_ref().filter(|place| place.get().has_login()) else {
            return Ok(());
        };
        let advice = "put user:password into a file of its own (mode 0600) and name it by \
                      kurrentdb_credentials_file, or give the whole by the environment variable \
                      EXECUTION_LEDGER_KURRENTDB";
        if from_file {
            return together(&format!(
                "setting kurrentdb: a password does not belong into the configuration file; {advice}"
            ));
        }
        if self.kurrentdb_credentials_file.is_some() {
            return together("kurrentdb holds credentials, and so does kurrentdb_credentials_file");
        }
        let arguments = std::env::args_os();
        if arguments.into_iter().any(|argument| place.is_told_by(&argument.to_string_lossy())) {
            return together(&format!(
                "setting kurrentdb: everybody on the machine can read a password that is an \
                 argument; {advice}"
            ));
        }
        Ok(())
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

    fn check_eventstore(&self) -> Result<(), ConfigError> {
        let Some(listen) = &self.eventstore_listen else {
            if self.eventstore_anonymous_read || self.eventstore_client_streams {
                return together(
                    "eventstore_anonymous_read and eventstore_client_streams are for \
                     eventstore_listen: give it, or unset them",
                );
            }
            return Ok(());
        };
        if self.store == StoreKind::Kurrentdb {
            return together(
                "setting eventstore_listen: the log lies on a KurrentDB, where its clients can read \
                 it themselves; unset eventstore_listen",
            );
        }
        if listen.0.ip().is_loopback() {
            return Ok(());
        }
        if self.eventstore_anonymous_read {
            return together(
                "setting eventstore_anonymous_read: only on loopback; another eventstore_listen is \
                 read with keys",
            );
        }
        if self.tls_certificate.is_some() {
            return Ok(());
        }
        together(&format!(
            "setting eventstore_listen: {listen} can be reached from other machines, and without TLS \
             everybody on the way could read the keys: listen on 127.0.0.1, or give \
             tls_certificate and tls_key"
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
