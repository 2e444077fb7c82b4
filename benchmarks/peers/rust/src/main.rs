//! The pipeline of a Rust node: a bounded channel, batches of at most LIMIT events, LEB128, async-nats.
//! Events are made in the publishing loop from fresh numbers, and every field is read by the receiver.
//!
//!   rust-pipeline produce|read URL SUBJECT StateChange|AppEvent COUNT LIMIT PATIENCE
//!
//! It prints and reads the same lines as `worker.py`.

use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::time::Duration;
use tokio::sync::mpsc;

const CHANNEL: usize = 1024;
const ACCOUNTS: u64 = 10_007;
const KINDS: u64 = 500;
const FIRST_CHANGE_ID: u64 = 1 << 21;
const NODE_ID: u64 = 2;
const TAG_STATE_CHANGE: u8 = 0;
const TAG_APP_EVENT: u8 = 21;

enum Event {
    StateChange { account_id: u32, change_id: u64, types: u64 },
    AppEvent { kind: u16, payload: Vec<u8> },
}

fn make(number: u64, is_app: bool) -> Event {
    if is_app {
        let payload = (number as u32).to_be_bytes().repeat(10);
        return Event::AppEvent { kind: (number % KINDS) as u16, payload };
    }
    Event::StateChange {
        account_id: (number % ACCOUNTS) as u32,
        change_id: FIRST_CHANGE_ID + number,
        types: number % 64,
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn encode(events: &[Event]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 * events.len() + 48);
    put(&mut out, NODE_ID);
    for event in events {
        match event {
            Event::StateChange { account_id, change_id, types } => {
                out.push(TAG_STATE_CHANGE);
                put(&mut out, *change_id);
                put(&mut out, *types);
                put(&mut out, u64::from(*account_id));
            }
            Event::AppEvent { kind, payload } => {
                out.push(TAG_APP_EVENT);
                put(&mut out, u64::from(*kind));
                put(&mut out, payload.len() as u64);
                out.extend_from_slice(payload);
            }
        }
    }
    out
}

/// Reads a payload byte by byte; `None` where it is malformed.
struct Reader<'a>(std::slice::Iter<'a, u8>);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.0.next()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The next event; `Some(None)` at the end of the payload.
    fn event(&mut self) -> Option<Option<Event>> {
        let Some(tag) = self.0.next() else { return Some(None) };
        match *tag {
            TAG_STATE_CHANGE => {
                let change_id = self.number()?;
                let types = self.number()?;
                let account_id = u32::try_from(self.number()?).ok()?;
                Some(Some(Event::StateChange { account_id, change_id, types }))
            }
            TAG_APP_EVENT => {
                let kind = u16::try_from(self.number()?).ok()?;
                let size = usize::try_from(self.number()?).ok()?;
                let payload = self.0.as_slice().get(..size)?.to_vec();
                self.0 = self.0.as_slice()[size..].iter();
                Some(Some(Event::AppEvent { kind, payload }))
            }
            _ => None,
        }
    }
}

fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn cpu_seconds() -> f64 {
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut used) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(used.ru_utime) + seconds(used.ru_stime)
}

fn print(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("stdout");
}

fn wait_for_line() {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("stdin");
}

fn ready() {
    print("{\"ready\": true, \"version\": \"async-nats 0.44.0\"}");
}

async fn produce(client: async_nats::Client, subject: String, is_app: bool, count: u64, limit: usize) {
    ready();
    wait_for_line();
    let before = cpu_seconds();
    let start = now();
    let (sender, mut receiver) = mpsc::channel::<Event>(CHANNEL);
    let publisher = tokio::spawn(async move {
        let mut batch = Vec::with_capacity(limit);
        while receiver.recv_many(&mut batch, limit).await > 0 {
            let payload = Bytes::from(encode(&batch));
            client.publish(subject.clone(), payload).await.expect("publish");
            batch.clear();
        }
        client.flush().await.expect("flush");
    });
    for number in 0..count {
        if sender.send(make(number, is_app)).await.is_err() {
            break;
        }
    }
    drop(sender);
    publisher.await.expect("publisher");
    let cpu = cpu_seconds() - before;
    print(&format!("{{\"start\": {start}, \"end\": {}, \"cpu\": {cpu}}}", now()));
    wait_for_line();
}

async fn read(client: async_nats::Client, subject: String, count: u64, patience: u64) {
    let before = cpu_seconds();
    let mut messages = client.subscribe(subject).await.expect("subscribe");
    client.flush().await.expect("flush");
    ready();
    let mut changes: HashMap<u32, u64> = HashMap::new();
    let mut payloads: HashMap<u16, Vec<u8>> = HashMap::new();
    let (mut total, mut taken) = (0u64, 0u64);
    let mut problem = "null".to_string();
    let work = async {
        while taken < count {
            let Some(message) = messages.next().await else { break };
            let mut reader = Reader(message.payload.iter());
            if reader.number().is_none() {
                problem = "\"a message without a node id\"".into();
            }
            loop {
                match reader.event() {
                    Some(Some(Event::StateChange { account_id, change_id, types })) => {
                        changes.insert(account_id, change_id);
                        total += types;
                        taken += 1;
                    }
                    Some(Some(Event::AppEvent { kind, payload })) => {
                        total += u64::from(kind);
                        payloads.insert(kind, payload);
                        taken += 1;
                    }
                    Some(None) => break,
                    None => {
                        problem = "\"a malformed message\"".into();
                        break;
                    }
                }
            }
        }
    };
    let late = tokio::time::timeout(Duration::from_secs(patience), work).await.is_err();
    let end = now();
    if late {
        problem = format!("\"{taken} of {count} events had arrived after {patience} s\"");
    }
    let mut check = 0u64;
    for (account_id, change_id) in &changes {
        check = check.wrapping_add(u64::from(*account_id) * change_id);
    }
    for (kind, payload) in &payloads {
        let number = u32::from_be_bytes(payload[..4].try_into().expect("four bytes"));
        check = check.wrapping_add(u64::from(*kind) * u64::from(number));
    }
    let cpu = cpu_seconds() - before;
    print(&format!(
        "{{\"end\": {end}, \"cpu\": {cpu}, \"problem\": {problem}, \"total\": {total}, \"check\": {check}}}"
    ));
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, role, url, subject, kind, count, limit, patience] = &arguments[..] else {
        panic!("produce|read URL SUBJECT KIND COUNT LIMIT PATIENCE")
    };
    let count: u64 = count.parse().expect("COUNT");
    let client = async_nats::ConnectOptions::new()
        .subscription_capacity(4_194_304)
        .connect(url)
        .await
        .expect("connect");
    if role == "produce" {
        produce(client, subject.clone(), kind == "AppEvent", count, limit.parse().expect("LIMIT")).await;
    } else {
        read(client, subject.clone(), count, patience.parse().expect("PATIENCE")).await;
    }
}
