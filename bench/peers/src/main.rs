//! Measures the Prio3 of the `prio` crate (libprio-rs) through its public API,
//! on one thread, and prints lines in the format of Go benchmarks, under the
//! names of the Go benchmarks in Shoal's package vdaf.
//!
//! Parameters, measurements and chunk lengths are those of the crate's own
//! benchmark: two shares, chunks of about the square root of the length.
//!
//! usage: shoal-bench-peers [-bench TEXT] [-benchtime SECONDS] [-count N]

use prio::codec::{Encode, ParameterizedDecode};
use prio::vdaf::prio3::Prio3;
use prio::vdaf::{Aggregator, Client};
use std::hint::black_box;
use std::time::{Duration, Instant};

const CTX: &[u8] = b"";
const NONCE: [u8; 16] = [0; 16];
const KEY: [u8; 32] = [0; 32];

/// What to run, from the command line.
struct Plan {
    only: String,
    time: Duration,
    count: usize,
}

impl Plan {
    fn from_args() -> Result<Plan, String> {
        let mut plan = Plan { only: String::new(), time: Duration::from_secs(1), count: 1 };
        let mut args = std::env::args().skip(1);
        while let Some(flag) = args.next() {
            let value = args.next().ok_or_else(|| format!("{flag}: no value"))?;
            match flag.as_str() {
                "-bench" => plan.only = value,
                "-benchtime" => {
                    let seconds: f64 =
                        value.trim_end_matches('s').parse().map_err(|e| format!("{flag} {value}: {e}"))?;
                    plan.time = Duration::try_from_secs_f64(seconds).map_err(|e| format!("{flag} {value}: {e}"))?;
                }
                "-count" => plan.count = value.parse().map_err(|e| format!("{flag} {value}: {e}"))?,
                _ => {
                    return Err(format!("{flag}: unknown; want -bench TEXT, -benchtime SECONDS or -count N"));
                }
            }
        }
        Ok(plan)
    }

    /// Runs `f` until it has taken `time` in one go and prints the mean.
    fn bench<R>(&self, name: &str, mut f: impl FnMut() -> R) {
        if !name.contains(&self.only) {
            return;
        }
        for _ in 0..self.count {
            let mut n: u64 = 1;
            let spent = loop {
                let start = Instant::now();
                for _ in 0..n {
                    black_box(f());
                }
                let spent = start.elapsed();
                if spent >= self.time {
                    break spent;
                }
                // A fifth more than seems needed, but at most a hundredfold.
                let each = (spent.as_nanos() as f64 / n as f64).max(1.0);
                let wanted = (self.time.as_nanos() as f64 / each * 1.2) as u64;
                n = wanted.clamp(n + 1, n * 100);
            };
            println!("{name} \t{n}\t{:.1} ns/op", spent.as_nanos() as f64 / n as f64);
        }
    }

    /// Measures one instance: making a report, and the first step of verifying
    /// it on each side. The plain names start from and end with the values of
    /// the crate; those with `_bytes` from and with encoded messages.
    fn vdaf<V>(&self, group: &str, size: &str, vdaf: &V, measurement: &V::Measurement)
    where
        V: Client<16> + Aggregator<32, 16>,
        V::AggregationParam: Default,
    {
        let (public, inputs) = vdaf.shard(CTX, measurement, &NONCE).expect("sharding a valid measurement");
        let param = V::AggregationParam::default();

        let name = |op: &str| format!("BenchmarkShard/{group}_{op}{size}");
        self.bench(&name("shard"), || vdaf.shard(CTX, black_box(measurement), &NONCE).expect("sharding"));
        self.bench(&name("shard_bytes"), || {
            let (public, inputs) = vdaf.shard(CTX, black_box(measurement), &NONCE).expect("sharding");
            let mut out = vec![encode(&public)];
            out.extend(inputs.iter().map(encode));
            out
        });

        for (id, side) in ["leader", "helper"].into_iter().enumerate() {
            let name = |op: &str| format!("BenchmarkVerifyInit/{group}_verify_init_{side}{op}{size}");
            self.bench(&name(""), || {
                vdaf.verify_init(&KEY, CTX, id, &param, &NONCE, black_box(&public), black_box(&inputs[id]))
                    .expect("verifying")
            });
            let (public, input) = (encode(&public), encode(&inputs[id]));
            self.bench(&name("_bytes"), || {
                let public = V::PublicShare::get_decoded_with_param(vdaf, black_box(&public)).expect("decoding");
                let input = V::InputShare::get_decoded_with_param(&(vdaf, id), black_box(&input)).expect("decoding");
                let (state, share) =
                    vdaf.verify_init(&KEY, CTX, id, &param, &NONCE, &public, &input).expect("verifying");
                (state, encode(&share))
            });
        }
    }
}

fn encode(x: &impl Encode) -> Vec<u8> {
    x.get_encoded().expect("encoding")
}

fn main() {
    let plan = match Plan::from_args() {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("shoal-bench-peers: {why}");
            std::process::exit(2);
        }
    };
    println!("goos: {}\ngoarch: {}", std::env::consts::OS, goarch());
    println!("pkg: github.com/shoal-project/shoal/vdaf");

    plan.vdaf("prio3count", "", &Prio3::new_count(2).expect("count"), &true);
    for bits in [8, 32] {
        let limit = (1 << bits) - 1;
        plan.vdaf("prio3sum", &format!("/{bits}"), &Prio3::new_sum(2, limit).expect("sum"), &limit);
    }
    for (length, chunk) in [(10, 3), (100, 10), (1_000, 31)] {
        let measurement: Vec<u128> = (0..length as u128).map(|i| i & 1).collect();
        let vdaf = Prio3::new_sum_vec(2, 1, length, chunk).expect("sumvec");
        plan.vdaf("prio3sumvec", &format!("/{length}"), &vdaf, &measurement);
    }
    for (length, chunk) in [(10, 3), (100, 10), (1_000, 31), (10_000, 100), (100_000, 316)] {
        let vdaf = Prio3::new_histogram(2, length, chunk).expect("histogram");
        plan.vdaf("prio3histogram", &format!("/{length}"), &vdaf, &0);
    }
    for (length, chunk) in [(10, 3), (100, 10), (1_000, 31)] {
        let mut measurement = vec![false; length];
        measurement[..2].fill(true);
        let vdaf = Prio3::new_multihot_count_vec(2, length, 2, chunk).expect("multihotcountvec");
        plan.vdaf("prio3multihotcountvec", &format!("/{length}"), &vdaf, &measurement);
    }
}

/// The architecture under Go's name for it.
fn goarch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
