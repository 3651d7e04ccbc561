assert null == { }; 1
