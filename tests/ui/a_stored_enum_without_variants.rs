use freehold::prelude::*;

#[derive(Stored)]
enum Nothing {}

fn main() {}
