use freehold::prelude::*;

#[derive(Stored)]
struct Point<'a> {
    name: &'a str,
}

fn main() {}
