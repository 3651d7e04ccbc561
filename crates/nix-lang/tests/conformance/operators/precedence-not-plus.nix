!true || true
