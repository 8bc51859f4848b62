//! What each piece of a request costs: `cargo bench --bench path`. Beside the time stands how often memory was asked for.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use bytes::Bytes;
use daypass::sigv4::{ChunkedDecoder, ChunkedEncoder, PayloadHash};
use divan::{AllocProfiler, Bencher, black_box, counter::BytesCount};

use self::world::{NOW, World};

#[expect(dead_code, reason = "other benchmarks use the rest")]
mod world;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench]
fn a1_parse(bencher: Bencher<'_, '_>) {
    let world = World::new();
    bencher.bench_local(|| black_box(&world).parse());
}

/// Canonical request, string to sign, signature, session, revocations, policies.
#[divan::bench]
fn a2_authenticate(bencher: Bencher<'_, '_>) {
    let world = World::new();
    let signed = world.parse();
    bencher.bench_local(|| black_box(&world).authenticate(black_box(&signed)));
}

#[divan::bench]
fn a3_classify(bencher: Bencher<'_, '_>) {
    let world = World::new();
    let signed = world.parse();
    bencher.bench_local(|| black_box(&world).classify(black_box(&signed)));
}

/// A policy of ten statements.
#[divan::bench]
fn a4_authorize(bencher: Bencher<'_, '_>) {
    let world = World::new();
    let signed = world.parse();
    let caller = world.authenticate(&signed);
    bencher
        .with_inputs(|| world.classify(&signed))
        .bench_local_values(|call| world.authorize(call, black_box(&signed), &caller));
}

#[divan::bench]
fn a5_resign(bencher: Bencher<'_, '_>) {
    let world = World::new();
    let signed = world.parse();
    let caller = world.authenticate(&signed);
    let permit = world.authorize(world.classify(&signed), &signed, &caller);
    bencher.bench_local(|| world.resign(black_box(&permit)));
}

#[divan::bench]
fn a6_all_of_these(bencher: Bencher<'_, '_>) {
    let world = World::new();
    bencher.bench_local(|| black_box(&world).request());
}

/// A replica that has never seen the session: the token is opened.
#[divan::bench]
fn b1_first_use_of_a_token(bencher: Bencher<'_, '_>) {
    let world = World::new();
    let signed = world.parse();
    bencher
        .with_inputs(World::another_replica)
        .bench_local_refs(|replica| world.authenticate_at(replica, &signed));
}

#[divan::bench]
fn b2_mint_and_seal(bencher: Bencher<'_, '_>) {
    let world = World::new();
    bencher.bench_local(|| world.sessions.mint(World::grant(), NOW).unwrap());
}

/// Signed chunks of 64 KiB, as the older SDKs send them.
#[divan::bench(args = [1 << 20])]
fn c1_decode_signed_chunks(bencher: Bencher<'_, '_>, length: usize) {
    let world = World::new();
    let signed = world.parse();
    let permit = world.authorize(world.classify(&signed), &signed, &world.authenticate(&signed));
    let payload = PayloadHash::parse("STREAMING-AWS4-HMAC-SHA256-PAYLOAD").unwrap();
    let chain = world.chunk_signer(&permit);
    let mut encoder = ChunkedEncoder::new(&payload, chain.clone());
    let mut wire = Vec::new();
    for piece in vec![7; length].chunks(64 << 10) {
        encoder.push(Bytes::copy_from_slice(piece), &mut wire);
    }
    encoder.finish(None, &mut wire);
    bencher.counter(BytesCount::new(length)).bench_local(|| {
        let mut decoder = ChunkedDecoder::new(&payload, Some(chain.clone()), length as u64, Vec::new());
        let mut plain = Vec::new();
        for piece in &wire {
            decoder.push(piece.clone(), &mut plain).unwrap();
        }
        decoder.finish().unwrap();
        plain
    });
}
