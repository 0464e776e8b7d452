use freehold::prelude::*;

#[derive(Stored)]
struct Line {
    from: Point,
    to: u64,
}

struct Point;

fn main() {}
