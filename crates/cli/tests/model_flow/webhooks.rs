//! Events on their way to others.

use super::world::*;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Heads and bodies a receiver took.
type Taken = Arc<Mutex<Vec<(String, Value)>>>;

/// A receiver that refuses what it is sent first.
fn receiver(refusals: usize) -> (String, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let taken = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&taken);
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if let Some(found) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = found.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push_str(&line.to_ascii_lowercase());
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let status = if n < refusals { "503 Busy" } else { "204 Taken" };
            if n >= refusals {
                all.lock()
                    .unwrap()
                    .push((head, serde_json::from_slice(&body).unwrap()));
            }
            write!(
                stream.get_mut(),
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
            .unwrap();
        }
    });
    (url, taken)
}

#[test]
fn events_reach_webhooks_signed_in_their_own_format_and_again_after_a_failure() {
    let (plain, plain_taken) = receiver(1);
    let (amazon, amazon_taken) = receiver(0);
    let world = World::new(&format!(
        "[[env.development.webhook]]\nname = 'crm'\nurl = '{plain}'\nsecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'\n\
         [[env.development.webhook]]\nname = 'amazon'\nurl = '{amazon}'\nformat = 'eventbridge'\nonly = ['approved']\n"
    ));
    world.ok(&["pipeline", "run"]);
    let first = world.ok(&["events", "deliver", "--once"]);
    assert!(
        first
            .talk
            .contains("`crm` did not take event 1: status 503; again in 5 s"),
        "{}",
        first.talk
    );
    let (head, body) = amazon_taken.lock().unwrap().pop().unwrap();
    assert_eq!(body["detail-type"], "SageMaker Model Package State Change");
    assert_eq!(body["detail"]["ModelApprovalStatus"], "Approved");
    assert!(!head.contains("webhook-signature"));
    assert!(
        amazon_taken.lock().unwrap().is_empty(),
        "it asked for approvals alone"
    );
    std::thread::sleep(Duration::from_secs(5));
    world.ok(&["events", "deliver", "--once"]);
    let taken = plain_taken.lock().unwrap().clone();
    let events = world.lines(&["events", "list"]);
    assert_eq!(taken.len(), events.len());
    for ((head, body), event) in taken.iter().zip(&events) {
        assert_eq!((&body["id"], &body["specversion"]), (&event["id"], &json!("1.0")));
        assert!(
            head.contains("application/cloudevents+json") && head.contains("webhook-signature: v1,"),
            "{head}"
        );
    }
    assert_eq!(taken[3].1["type"], "org.poststelle.version.approved");
    world.ok(&["events", "replay", "webhook/crm", "--after", "3"]);
    world.ok(&["events", "deliver", "--once"]);
    assert_eq!(plain_taken.lock().unwrap().len(), events.len() + events.len() - 3);
}
