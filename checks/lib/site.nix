# A machine that serves "hello", and something larger, from nginx on port 80.
images: networks: {
  image = images.debian;
  command = [
    "/usr/sbin/nginx"
    "-e"
    "stderr"
    "-c"
    "/etc/nginx/hc.conf"
  ];
  files."/etc/nginx/hc.conf".text = ''
    daemon off; user www-data; worker_processes 1; pid /run/nginx.pid; error_log stderr warn;
    events { worker_connections 64; }
    http { access_log off; server { listen 80; listen [::]:80; root /srv/www; } }
  '';
  files."/srv/www/index.html".text = "hello";
  files."/srv/www/large".text = builtins.concatStringsSep "" (builtins.genList toString 60000);
  ready = {
    when = "tcp";
    port = 80;
  };
  inherit networks;
}
