//! The database is not there, or not for us, when the server starts.

use std::time::Duration;

use priyo_tests::{Cluster, Database, PATIENCE, Starting};
use tokio::time::Instant;

/// How soon a server must have given up.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

const PASSWORD: &str = "correct-horse";
const OTHER_PASSWORD: &str = "hunter2-hunter2";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_have_its_database_ends_soon_and_says_why_in_one_line() {
    let Some(cluster) = Cluster::start().await else { return };
    let database = Database::on(&cluster);
    ask_for_passwords(&cluster, &database).await;
    let socket = cluster.data().parent().unwrap().display().to_string();
    let url = |user: &str, password: &str, name: &str, more: &str| {
        format!("postgresql://{user}:{password}@localhost/{name}?host={socket}{more}")
    };

    let good = url("chat", PASSWORD, "postgres", "");
    for (url, why) in [
        (url("chat", OTHER_PASSWORD, "postgres", ""), "password authentication failed"),
        (url("nobody", OTHER_PASSWORD, "postgres", ""), "role \"nobody\" does not exist"),
        (url("chat", PASSWORD, "nowhere", ""), "database \"nowhere\" does not exist"),
        (url("chat", PASSWORD, "postgres", "&schema=closed"), "GRANT"),
        (url("guest", PASSWORD, "postgres", ""), "CREATE SCHEMA"),
        (url("chat", PASSWORD, "postgres", "&shema=x"), "\"shema\""),
        (
            format!("postgresql://chat:{PASSWORD}@127.0.0.1:1/postgres"),
            "no PostgreSQL server answers at 127.0.0.1:1",
        ),
        (
            format!("postgresql://chat:{PASSWORD}@localhost/postgres?host={socket}/none"),
            "no PostgreSQL server",
        ),
    ] {
        gives_up(&database, &url, why).await;
    }
    // Here it is, and says nothing.
    cluster.pause().await;
    gives_up(&database, &good, "no answer").await;
    cluster.resume().await;
    cluster.stop().await;
    gives_up(&database, &good, "no PostgreSQL server answers at").await;

    // The control: what it gave up for was what it said.
    cluster.start_again().await;
    let server = Starting::launch(&database, &[("DATABASE_URL", &good)]).answers().await;
    assert!(server.terminate(PATIENCE).await.expect("the server stops in time").success());
}

/// Makes the server ask some for their passwords: one who may make a schema, and one who may not.
async fn ask_for_passwords(cluster: &Cluster, database: &Database) {
    let file = cluster.data().join("pg_hba.conf");
    let others = std::fs::read_to_string(&file).unwrap();
    let asked = "local all chat scram-sha-256\nlocal all guest scram-sha-256\n";
    std::fs::write(&file, format!("{asked}{others}")).unwrap();
    database
        .execute(&format!(
            "CREATE ROLE chat LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}';
             GRANT CREATE ON DATABASE postgres TO chat; CREATE SCHEMA closed"
        ))
        .await;
    database.execute("SELECT pg_reload_conf()").await;
}

async fn gives_up(database: &Database, url: &str, why: &str) {
    let begun = Instant::now();
    let starting = Starting::launch(database, &[("DATABASE_URL", url)]);
    let ended = starting.ends_by(ENDS_WITHIN).await.unwrap_or_else(|| panic!("it does not end: {url}"));
    let said = &ended.said;
    assert!(!ended.status.success(), "{url}: {said}");
    assert!(said.starts_with("priyo-server: ") && said.lines().count() == 1, "{url}: {said}");
    assert!(said.contains(why), "{url}: {said}");
    assert!(!said.contains(PASSWORD) && !said.contains(OTHER_PASSWORD), "{said}");
    println!("after {:?}: {}", begun.elapsed(), said.trim_end());
}
