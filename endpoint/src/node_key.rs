//! Who may do what in an open store: everybody everything, but for a ledger's own streams.

use std::sync::Arc;

use async_trait::async_trait;
use execution_ledger_store::kurrentdb::Prefix;
use subtle::ConstantTimeEq;

use crate::authority::{Admitted, Authority, Basic, Call, Peer, Refusal};

/// Lets everybody read, and append but to streams of a ledger, which take a node's credential.
pub struct NodeKeyAuthority {
    /// Which streams are a ledger's.
    prefix: Prefix,
    /// The nodes' key; without it everybody may append everywhere.
    key: Option<Arc<str>>,
}

impl NodeKeyAuthority {
    /// With what a ledger's streams begin with, and the key of its nodes.
    pub fn new(prefix: Prefix, key: Option<&str>) -> Self {
        Self { prefix, key: key.map(Arc::from) }
    }

    fn is_ledgers(&self, stream: &str) -> bool {
        self.prefix.is_ours(stream.strip_prefix("$$").unwrap_or(stream))
    }
}

#[async_trait]
impl Authority for NodeKeyAuthority {
    async fn admit(
        &self,
        credentials: Option<&Basic>,
        _peer: Peer,
        call: &Call,
    ) -> Result<Admitted, Refusal> {
        let admitted = Ok(Admitted { until: None });
        let Some(key) = &self.key else { return admitted };
        match call {
            Call::Append(stream) | Call::Remove(stream) if self.is_ledgers(stream) => {}
            _ => return admitted,
        }
        match credentials {
            Some(basic) if basic.password.as_bytes().ct_eq(key.as_bytes()).into() => admitted,
            Some(_) => Err(Refusal::Denied(format!(
                "streams that begin with {} are written by ledger nodes alone, and this is no \
                 node's key",
                self.prefix
            ))),
            None => Err(Refusal::Unauthenticated(format!(
                "streams that begin with {} are written by ledger nodes alone: send a node's key \
                 as the password",
                self.prefix
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn admitted(password: Option<&str>, call: Call) -> Result<(), Refusal> {
        let authority = NodeKeyAuthority::new(Prefix::default(), Some("the nodes' key"));
        let basic = password
            .map(|password| Basic { name: "node".to_owned(), password: password.to_owned() });
        let peer = Peer { address: ([127, 0, 0, 1], 1).into(), tls: false };
        authority.admit(basic.as_ref(), peer, &call).await.map(drop)
    }

    #[tokio::test]
    async fn only_a_node_writes_a_ledgers_streams_and_everybody_everything_else() {
        for own in ["ledger.execution-1", "$$ledger.execution-1", "text.ledger-1", "log.ledger-id"]
        {
            for call in [Call::Append(own.to_owned()), Call::Remove(own.to_owned())] {
                assert_eq!(admitted(Some("the nodes' key"), call.clone()).await, Ok(()));
                let other = admitted(Some("another key"), call.clone()).await;
                assert!(matches!(other, Err(Refusal::Denied(_))), "{own}: {other:?}");
                let nobody = admitted(None, call).await;
                assert!(matches!(nobody, Err(Refusal::Unauthenticated(_))), "{own}: {nobody:?}");
            }
            assert_eq!(admitted(None, Call::ReadStream(own.to_owned())).await, Ok(()));
        }
        assert_eq!(admitted(None, Call::Append("orders-1".to_owned())).await, Ok(()));
        assert_eq!(admitted(None, Call::ReadAll).await, Ok(()));
    }
}
