//! Where webhooks may be, and where nothing is ever sent to.

use execution_ledger_domain::webhook::WebhookFieldError;

use super::receiver::Receiver;
use super::world::{World, loopback, settings};
use crate::webhooks::{Allowed, Fault, Tried, WebhookError};

#[tokio::test]
async fn what_is_not_of_the_public_internet_is_refused_however_it_is_written() {
    let world = World::new(Allowed::default()).await;
    for url in [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.0.0.1:8443/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://172.16.0.9/",
        "https://100.64.0.1/",
        "https://[fd00:ec2::254]/",
        "https://[fe80::1]/",
        "https://224.0.0.1/",
        "http://example.org/",
        "http://93.184.216.34/",
        "https://ada:secret@example.org/",
        "https://ada@example.org/",
        "https://example.org/#fragment",
        "https:///",
        "https://example.org:99999/",
    ] {
        let refused = world.register(settings(url)).await;
        let Err(WebhookError::Field(WebhookFieldError { field: "url", problem })) = refused else {
            panic!("{url}");
        };
        assert!(!problem.is_empty(), "{url}");
    }
    let secret = "https://example.org/?key=ghp_012345678901234567890123456789abcdef";
    assert!(world.register(settings(secret)).await.is_err());
    world.register(settings("https://example.org/hook")).await.expect("registered");
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_never_connected_to() {
    let receiver = Receiver::listen().await;
    let world = World::new(Allowed::default()).await;
    let url = format!("https://localhost:{}/", receiver.port);
    let id = world.register(settings(&url)).await.expect("registered").id;
    let tested = world.webhooks.test(id).await.expect("tried").tried;
    let refused = Tried::Failed { status: None, reason: Fault::AddressRefused };
    assert_eq!(tested, refused);
    assert!(receiver.came().is_empty());
}

#[tokio::test]
async fn what_was_allowed_once_and_is_not_any_more_is_not_sent() {
    let receiver = Receiver::listen().await;
    let world = World::new(loopback()).await;
    let url = receiver.url();
    let by_name = url.replace("127.0.0.1", "localhost");
    for url in [&url, &by_name] {
        let id = world.register(settings(url)).await.expect("registered").id;
        assert_eq!(world.webhooks.test(id).await.expect("tried").tried, Tried::Taken(204), "{url}");
    }
    let sender = crate::webhooks::send::Sender::new(Allowed::default(), super::world::ATTEMPT);
    assert!(sender.check(&url).is_err());
}
