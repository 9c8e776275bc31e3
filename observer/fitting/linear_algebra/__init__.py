"""The linear algebra of a Gauss-Newton step inside the certificate's barrier."""
