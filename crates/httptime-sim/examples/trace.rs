use httptime::Config;
use httptime::schedule::Profile;
use httptime_sim::worlds;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let w = worlds::named(&a[1]).unwrap();
    let p: Profile = a[2].parse().unwrap();
    let seed: u64 = a[3].parse().unwrap();
    let c = Config::builder().profile(p).lag(w.stated_lag()).build().unwrap();
    let world = w.world(seed);
    let out = world.measure_watched(&c, seed, |s, truth| {
        let p = s.progress();
        let t = truth.as_nanos() as f64;
        let b = p.bounds().map(|b| {
            ((b.lower().as_nanos() as f64 - t) / 1e6, (b.upper().as_nanos() as f64 - t) / 1e6)
        });
        let u = p.unknown().map(|b| {
            ((b.lower().as_nanos() as f64 - t) / 1e6, (b.upper().as_nanos() as f64 - t) / 1e6)
        });
        println!(
            "req {} checks {} at {:?} bounds {:.3?} unknown {:.3?} est {:.3}",
            p.requests(),
            p.checks(),
            p.at().map(|a| a.as_nanos() / 1000000),
            b,
            u,
            s.estimate().map_or(0.0, |e| (e.offset().as_nanos() as f64 - t) / 1e6)
        );
    });
    match out.result {
        Ok(m) => println!("ended {:?} {} truth {}", m.ended(), m, out.truth),
        Err(e) => println!("{e}"),
    }
}
