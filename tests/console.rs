//! The console, as a browser without script sees it: the real program, asked by plain HTTP.

mod frame;
mod letters;
