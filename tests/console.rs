//! The console, as a browser without script sees it: the real program, asked by plain HTTP.

mod acts;
mod frame;
mod letters;
