<certainly-not-there>
