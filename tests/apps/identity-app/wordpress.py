"""WordPress of Debian in this folder, with a database of its own, on PORT of localhost."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path.cwd()
PORT = os.environ["PORT"]
SITE, SOCKET = HERE / "site", HERE / "db"
USER = f"--user={pwd.getpwuid(os.geteuid()).pw_name}"  # it refuses root where root is not named
DATABASE = ("--no-defaults", USER, f"--datadir={HERE / 'data'}", "--innodb-log-file-size=4M")

CONFIG = f"""<?php
define('DB_NAME', 'wordpress');
define('DB_USER', 'root');
define('DB_PASSWORD', '');
define('DB_HOST', 'localhost:{SOCKET}');
define('DISABLE_WP_CRON', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
$table_prefix = 'wp_';
defined('ABSPATH') or define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
"""
INSTALL = f"""
$_SERVER += ['HTTP_HOST' => 'localhost:{PORT}', 'REQUEST_URI' => '/'];
define('WP_INSTALLING', true);
define('WP_SITEURL', 'http://localhost:{PORT}');
function wp_new_blog_notification() {{}}
require 'site/wp-load.php';
require 'site/wp-admin/includes/upgrade.php';
wp_install('A site', 'ann', 'ann@example.com', true, '', 'secret');
switch_theme('plain');
echo 'WordPress ', $wp_version;
"""
THEME = """<html><head><?php wp_head(); ?></head><body>
<?php while (have_posts()) { the_post(); ?>
<a href="<?php the_permalink(); ?>"><?php the_title(); ?></a>
<?php } wp_loginout(); ?></body></html>
"""


def start_database() -> None:
    options = ("--auth-root-authentication-method=normal", "--skip-test-db", *DATABASE[1:])
    subprocess.run(["mariadb-install-db", "--no-defaults", *options], check=True)
    listening = (f"--socket={SOCKET}", "--skip-networking", "--pid-file=db.pid")
    server = subprocess.Popen(["mariadbd", *DATABASE, *listening])
    while not SOCKET.exists():
        assert server.poll() is None, "the database ended"
        time.sleep(0.05)  # noqa: TID251  # nothing else runs here
    create = ("--no-defaults", "-uroot", f"--socket={SOCKET}", "-e", "create database wordpress")
    subprocess.run(["mariadb", *create], check=True)


def install() -> None:
    ours = shutil.ignore_patterns("wp-config.php")  # Debian's looks in /etc
    shutil.copytree("/usr/share/wordpress", SITE, ignore=ours)
    (SITE / "wp-config.php").write_text(CONFIG)
    theme = SITE / "wp-content" / "themes" / "plain"
    theme.mkdir(parents=True)
    (theme / "style.css").write_text("/* Theme Name: Plain */")
    (theme / "index.php").write_text(THEME)
    subprocess.run(["php", "-r", INSTALL], check=True)


if __name__ == "__main__":
    start_database()
    install()
    sys.stdout.flush()
    os.execvp("php", ["php", "-S", f"localhost:{PORT}", "-t", str(SITE)])
