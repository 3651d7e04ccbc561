"${/no/such/file.drv}"
