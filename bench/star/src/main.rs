//! Measures recovery with the `sta-rs` crate through its public API: messages in a file to
//! values. Prints lines in the format of Go benchmarks, under the names of Shoal's.
//!
//! usage: shoal-bench-star make|recover CLIENTS THRESHOLD FILE

mod make;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::time::Instant;

use sta_rs::{Message, Share, derive_ske_key, share_recover};

const EPOCH: &[u8] = b"epoch";
const VALUES: usize = 10_000;
const THREADS: usize = 2;

/// The values of all clients: Zipf with exponent 1.03, from a fixed seed; those of Shoal's
/// benchmark.
fn zipf(clients: usize) -> Vec<usize> {
    let mut sums = Vec::with_capacity(VALUES);
    let mut sum = 0.0;
    for i in 1..=VALUES {
        sum += (i as f64).powf(-1.03);
        sums.push(sum);
    }
    let mut state: u64 = 1;
    (0..clients)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let u = ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
            sums.partition_point(|&s| s <= u * sum)
        })
        .collect()
}

fn cpu() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: getrusage fills the structure that it is given.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn read(file: &str) -> std::io::Result<HashMap<Vec<u8>, Vec<Message>>> {
    let mut groups: HashMap<Vec<u8>, Vec<Message>> = HashMap::new();
    let mut input = BufReader::with_capacity(1 << 20, File::open(file)?);
    let mut size = [0u8; 4];
    let mut bytes = Vec::new();
    while input.read_exact(&mut size).is_ok() {
        bytes.resize(u32::from_le_bytes(size) as usize, 0);
        input.read_exact(&mut bytes)?;
        let message = Message::from_bytes(&bytes).expect("a message");
        groups.entry(message.tag.clone()).or_default().push(message);
    }
    Ok(groups)
}

/// Returns how many records of a group were read, checking that they are equal.
fn recover(group: &[Message], threshold: usize) -> usize {
    let shares: Vec<Share> = group[..threshold].iter().map(|m| m.share.clone()).collect();
    let secret = share_recover(&shares).expect("a key").get_message();
    let mut key = vec![0u8; 16];
    derive_ske_key(&secret, EPOCH, &mut key);
    let mut first: Option<Vec<u8>> = None;
    for message in group {
        let plain = message.ciphertext.decrypt(&key, "star_encrypt");
        let value = adss::load_bytes(&plain).expect("a measurement");
        match &first {
            None => first = Some(value.to_vec()),
            Some(f) => assert_eq!(f, value),
        }
    }
    group.len()
}

/// Recovers all messages of a file and prints what it took.
fn measure(clients: usize, threshold: usize, file: &str) -> std::io::Result<()> {
    let (start, before) = (Instant::now(), cpu());
    let groups: Vec<Vec<Message>> = read(file)?.into_values().filter(|g| g.len() >= threshold).collect();
    // Groups go to the threads by turns, the largest first.
    let mut groups = groups;
    groups.sort_by_key(|g| std::cmp::Reverse(g.len()));
    let records: usize = std::thread::scope(|s| {
        let work: Vec<_> = (0..THREADS)
            .map(|t| {
                let groups = &groups;
                s.spawn(move || groups.iter().skip(t).step_by(THREADS).map(|g| recover(g, threshold)).sum::<usize>())
            })
            .collect();
        work.into_iter().map(|w| w.join().expect("a thread")).sum()
    });
    let (wall, spent) = (start.elapsed().as_secs_f64(), cpu() - before);
    println!(
        "BenchmarkHardenedRecovery/clients={clients}/threshold={threshold} 1 {:.0} ns/op {:.3} cpu-s {} values {records} records",
        wall * 1e9,
        spent,
        groups.len()
    );
    Ok(())
}

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let usage = || -> ! {
        eprintln!("usage: shoal-bench-star make|recover CLIENTS THRESHOLD FILE");
        std::process::exit(2)
    };
    let [_, verb, clients, threshold, file] = &args[..] else { usage() };
    let (Ok(clients), Ok(threshold)) = (clients.parse(), threshold.parse()) else { usage() };
    match verb.as_str() {
        "make" => make::make(clients, threshold, file),
        "recover" => measure(clients, threshold as usize, file),
        _ => usage(),
    }
}
