{ images, ... }:
let
  # Change this line, deploy, and watch the page change.
  greeting = "Hello from hc";

  page = ''
    <!doctype html>
    <html lang="en">
    <meta charset="utf-8">
    <title>${greeting}</title>
    <h1>${greeting}</h1>
    </html>
  '';

  nginxConf = ''
    daemon off;
    user www-data;
    worker_processes 1;
    pid /run/nginx.pid;
    error_log stderr warn;

    events {
      worker_connections 256;
    }

    http {
      access_log off;
      default_type text/html;
      server {
        listen 80;
        listen [::]:80;
        root /srv/www;
      }
    }
  '';

  # As first process it gets no signal that it does not ask for, hence the trap.
  fetchLoop = ''
    trap 'exit 0' TERM
    while :; do
      curl --silent --show-error --max-time 5 --output /dev/null \
        --write-out '%{http_code} %{url_effective} from %{remote_ip}\n' http://web/
      sleep 5 & wait $!
    done
  '';
in
{
  cloud.name = "demo";

  hosts.demo = {
    networks.lan = { };

    machines = {
      web = {
        image = images.debian;
        command = [
          "/usr/sbin/nginx"
          # The log until the file below is read; the built-in one is a file nobody looks at.
          "-e"
          "stderr"
          "-c"
          "/etc/nginx/hc.conf"
        ];
        files."/etc/nginx/hc.conf".text = nginxConf;
        files."/srv/www/index.html".text = page;
        ready = {
          when = "tcp";
          port = 80;
        };
        stop.signal = "QUIT";
        limits = {
          memory = "128M";
          cpus = 1;
          pids = 64;
        };
      };

      client = {
        image = images.debian;
        command = [
          "/bin/sh"
          "-c"
          fetchLoop
        ];
        restart.policy = "always";
        limits = {
          memory = "64M";
          cpus = 0.5;
          pids = 32;
        };
      };

      minimal = {
        image = images.minimal;
        command = [
          "/bin/hc"
          "guest"
          "init"
        ];
        ready.when = "notify";
        limits = {
          memory = "32M";
          pids = 16;
        };
      };
    };
  };
}
