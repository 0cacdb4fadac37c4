//! Makes the messages of all clients in the time of one message a value.
//!
//! A client of the crate expands a polynomial for each message, which at a threshold of
//! 1,000 takes milliseconds. The polynomial is a function of the value, so that here it is
//! expanded once for each value, by the dealer of the crate's own secret sharing, and
//! evaluated at as many random points as the value has clients. The first message of each
//! value is made by the crate itself, and the others are that message with another share.
//! That all lie on one polynomial is proved by the recovery, which begins with the crate's
//! own message and checks the MAC of what it finds.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use adss::{load_bytes, store_bytes};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, RngCore, SeedableRng};
use sta_rs::{Message, MessageGenerator, SingleMeasurement, strobe_digest};
use star_sharks::Sharks;
use strobe_rs::{SecParam, Strobe};

use crate::{EPOCH, zipf};

/// Randomness out of a transcript, as the crate draws it.
struct TranscriptRng(Strobe);

impl RngCore for TranscriptRng {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }
    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.meta_ad(&(dest.len() as u32).to_le_bytes(), false);
        self.0.prf(dest, false);
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for TranscriptRng {}

/// The `i`th of the three random values that the crate derives from a client's randomness.
fn derived(rnd: &[u8; 32], i: u8) -> [u8; 32] {
    let mut out = [0u8; 32];
    strobe_digest(rnd, &[&[i]], "star_derive_randoms", &mut out);
    out
}

/// The dealer of a value's shares: key and polynomial from the transcript of the crate `adss`.
fn dealer(rnd: &[u8; 32], threshold: u32) -> star_sharks::Evaluator {
    let mut transcript = Strobe::new(b"adss", SecParam::B128);
    transcript.ad(&threshold.to_le_bytes(), false);
    transcript.ad(&derived(rnd, 0), false);
    transcript.key(&derived(rnd, 1), false);
    let mut mac = [0u8; adss::MAC_LENGTH];
    transcript.send_mac(&mut mac, false);
    let mut secret = [0u8; 32]; // a key of 16 bytes, and zeros
    transcript.prf(&mut secret[..16], false);
    Sharks(threshold).dealer_rng(&secret, &mut TranscriptRng(transcript)).expect("a polynomial")
}

/// Replaces the share in the bytes of a message.
fn with_share(message: &[u8], share: &star_sharks::Share) -> Vec<u8> {
    let ciphertext = load_bytes(message).expect("a ciphertext");
    let rest = &message[4 + ciphertext.len()..];
    let all = load_bytes(rest).expect("a share");
    let tag = &rest[4 + all.len()..];
    let (access, old) = all.split_at(adss::ACCESS_STRUCTURE_LENGTH);
    let new: Vec<u8> = share.into();
    let mut inner = access.to_vec();
    store_bytes(&new, &mut inner);
    inner.extend(&old[4 + load_bytes(old).expect("a point").len()..]);
    let mut out = Vec::with_capacity(message.len());
    store_bytes(ciphertext, &mut out);
    store_bytes(&inner, &mut out);
    out.extend(tag);
    out
}

/// The messages of a value's clients.
fn messages(value: usize, clients: usize, threshold: u32) -> Vec<Vec<u8>> {
    let mg = MessageGenerator::new(SingleMeasurement::new(format!("value {value:05}").as_bytes()), threshold, EPOCH);
    let mut rnd = [0u8; 32];
    mg.sample_local_randomness(&mut rnd);
    let first = Message::generate(&mg, &rnd, None).expect("a message").to_bytes();
    let dealer = dealer(&rnd, threshold);
    let mut random = ChaCha20Rng::seed_from_u64(value as u64);
    let mut all: Vec<Vec<u8>> = (1..clients).map(|_| with_share(&first, &dealer.r#gen(&mut random))).collect();
    all.insert(0, first);
    all
}

/// Writes the messages of all clients to a file, in the order of the clients, each after its
/// length, on all processors. A file that exists stays.
pub fn make(clients: usize, threshold: u32, file: &str) -> io::Result<()> {
    if fs::exists(file)? {
        return Ok(());
    }
    let mut of: Vec<Vec<u32>> = vec![Vec::new(); crate::VALUES];
    for (client, value) in zipf(clients).into_iter().enumerate() {
        of[value].push(client as u32);
    }
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut all: Vec<Vec<u8>> = vec![Vec::new(); clients];
    std::thread::scope(|s| {
        let work: Vec<_> = (0..threads)
            .map(|_| {
                s.spawn(|| {
                    let mut made = Vec::new();
                    loop {
                        let value = next.fetch_add(1, Ordering::Relaxed);
                        let Some(own) = of.get(value) else { return made };
                        if !own.is_empty() {
                            made.extend(own.iter().zip(messages(value, own.len(), threshold)));
                        }
                    }
                })
            })
            .collect();
        for w in work {
            for (client, message) in w.join().expect("a thread") {
                all[*client as usize] = message;
            }
        }
    });
    let part = format!("{file}.part");
    let mut out = BufWriter::new(File::create(&part)?);
    for bytes in all {
        out.write_all(&(bytes.len() as u32).to_le_bytes())?;
        out.write_all(&bytes)?;
    }
    out.into_inner()?.sync_all()?;
    fs::rename(part, file)
}
