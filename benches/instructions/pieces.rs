//! The pieces of a request, run a number of times and no more, for `benches/instructions.py`, which counts instructions under
//! callgrind: it runs each twice, the second time with twice the number, so that what comes before falls out.
//!
//!     instructions --list     the names, each with a number of runs that makes 400 million instructions: the random generator's start
//!                             takes as many, and varies by a million
//!     instructions PIECE N    this piece N times
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::{env, hint::black_box};

use bytes::Bytes;
use daypass::{
    s3::Permit,
    sigv4::{ChunkedDecoder, ChunkedEncoder, PayloadHash, SignedRequest},
};

use self::world::{NOW, World};

mod whole;
#[path = "../path/world.rs"]
#[expect(dead_code, reason = "other benchmarks use the rest")]
mod world;

/// As the gateway has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Piece = fn(&World, usize);

const PIECES: &[(&str, usize, Piece)] = &[
    ("parse the signature", 30_000, parse),
    ("authenticate", 6_000, authenticate),
    ("classify", 100_000, classify),
    ("classify, and authorize by ten statements", 30_000, authorize),
    ("build and sign the outgoing head", 8_000, resign),
    ("all of these", 3_000, all),
    ("open a token", 3_000, open),
    ("mint and seal a token", 10_000, mint),
    ("decode 64 KiB in a signed chunk", 200, decode),
    ("a whole GET, with client and storage", 2_000, whole::get),
    ("a whole GET, with its log and audit lines", 2_000, whole::logged_get),
    ("a whole PUT of 1 KiB, with client and storage", 2_000, whole::put),
];

#[expect(clippy::print_stdout, reason = "it lists its pieces")]
fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments[..] {
        [list] if list == "--list" => PIECES.iter().for_each(|(name, runs, _)| println!("{name}\t{runs}")),
        [name, runs] => {
            let (_, _, piece) = PIECES.iter().find(|(known, ..)| known == name).unwrap();
            piece(&World::new(), runs.parse().unwrap());
        }
        _ => panic!("see the first lines of this program's text"),
    }
}

fn parse(world: &World, runs: usize) {
    for _ in 0..runs {
        black_box(black_box(world).parse());
    }
}

/// Canonical request, string to sign, signature, session, revocations, policies.
fn authenticate(world: &World, runs: usize) {
    let signed = world.parse();
    for _ in 0..runs {
        black_box(world.authenticate(black_box(&signed)));
    }
}

fn classify(world: &World, runs: usize) {
    let signed = world.parse();
    for _ in 0..runs {
        black_box(world.classify(black_box(&signed)));
    }
}

fn authorize(world: &World, runs: usize) {
    let signed = world.parse();
    let caller = world.authenticate(&signed);
    for _ in 0..runs {
        black_box(world.authorize(world.classify(black_box(&signed)), &signed, &caller));
    }
}

fn resign(world: &World, runs: usize) {
    let permit = permit(world, &world.parse());
    for _ in 0..runs {
        black_box(world.resign(black_box(&permit)));
    }
}

fn permit(world: &World, signed: &SignedRequest<'_>) -> Permit {
    let caller = world.authenticate(signed);
    world.authorize(world.classify(signed), signed, &caller)
}

fn all(world: &World, runs: usize) {
    for _ in 0..runs {
        black_box(black_box(world).request());
    }
}

/// By a replica that keeps no session.
fn open(world: &World, runs: usize) {
    let replica = World::forgetful();
    let signed = world.parse();
    for _ in 0..runs {
        black_box(world.authenticate_at(&replica, black_box(&signed)));
    }
}

fn mint(_: &World, runs: usize) {
    let replica = World::forgetful();
    for _ in 0..runs {
        black_box(replica.mint(World::grant(), NOW).unwrap());
    }
}

fn decode(world: &World, runs: usize) {
    const LENGTH: usize = 64 << 10;
    let payload = PayloadHash::parse("STREAMING-AWS4-HMAC-SHA256-PAYLOAD").unwrap();
    let chain = world.chunk_signer(&permit(world, &world.parse()));
    let mut encoder = ChunkedEncoder::new(&payload, chain.clone());
    let mut wire = Vec::new();
    encoder.push(Bytes::from(vec![7; LENGTH]), &mut wire);
    encoder.finish(None, &mut wire);
    for _ in 0..runs {
        let mut decoder = ChunkedDecoder::new(&payload, Some(chain.clone()), LENGTH as u64, Vec::new());
        let mut plain = Vec::new();
        for piece in &wire {
            decoder.push(piece.clone(), &mut plain).unwrap();
        }
        decoder.finish().unwrap();
        black_box(plain);
    }
}
