toString /a/../b
