//! Who is calling: what every request costs, and what a login costs.

use criterion::{Criterion, criterion_group, criterion_main};
use priyo_benches::Result;
use priyo_benches::world::{Database, Size, World};
use priyo_core::model::{Login, Origin, Registration, Role};
use tokio::runtime::Runtime;

fn accounts(criterion: &mut Criterion) {
    for database in Database::all() {
        if let Err(error) = run(criterion, &database) {
            panic!("{error}");
        }
    }
}

fn run(criterion: &mut Criterion, database: &Database) -> Result<()> {
    let runtime = Runtime::new()?;
    let size = Size { users: 1, conversations: 0, messages: 0 };
    let world = runtime.block_on(World::new(database, size, None))?;
    let (email, password) = ("ada@bench.example".to_owned(), "correct horse battery".to_owned());
    let role = Role::Customer;
    let new =
        Registration { email: email.clone(), username: "ada".to_owned(), password: password.clone(), role };
    let token = runtime.block_on(world.engine.register(None, new, &Origin::default()))?.tokens.access_token;
    criterion.bench_function(&format!("token check, {}", database.name()), |bencher| {
        bencher.iter(|| assert!(runtime.block_on(world.engine.authenticate(&token)).is_ok()));
    });
    // Nearly all of it is the password's hash.
    criterion.bench_function(&format!("login, {}", database.name()), |bencher| {
        bencher.iter(|| {
            let login = Login { email: email.clone(), password: password.clone() };
            assert!(runtime.block_on(world.engine.login(login, &Origin::default())).is_ok());
        });
    });
    runtime.block_on(world.engine.close());
    Ok(())
}

criterion_group!(benches, accounts);
criterion_main!(benches);
