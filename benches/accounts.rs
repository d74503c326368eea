//! Who is calling: what every request costs, and what a login costs.

use criterion::{Criterion, criterion_group, criterion_main};
use priyo_benches::Result;
use priyo_benches::world::{Size, World};
use priyo_core::model::{Login, Registration, Role};
use tokio::runtime::Runtime;

fn accounts(criterion: &mut Criterion) {
    if let Err(error) = run(criterion) {
        panic!("{error}");
    }
}

fn run(criterion: &mut Criterion) -> Result<()> {
    let runtime = Runtime::new()?;
    let world = runtime.block_on(World::new(Size { users: 1, conversations: 0, messages: 0 }, None))?;
    let (email, password) = ("ada@bench.example".to_owned(), "correct horse battery".to_owned());
    let role = Role::Customer;
    let new =
        Registration { email: email.clone(), username: "ada".to_owned(), password: password.clone(), role };
    let token = runtime.block_on(world.engine.register(None, new))?.tokens.access_token;
    criterion.bench_function("token check", |bencher| {
        bencher.iter(|| assert!(runtime.block_on(world.engine.authenticate(&token)).is_ok()));
    });
    // Nearly all of it is the password's hash.
    criterion.bench_function("login", |bencher| {
        bencher.iter(|| {
            let login = Login { email: email.clone(), password: password.clone() };
            assert!(runtime.block_on(world.engine.login(login)).is_ok());
        });
    });
    runtime.block_on(world.engine.close());
    Ok(())
}

criterion_group!(benches, accounts);
criterion_main!(benches);
